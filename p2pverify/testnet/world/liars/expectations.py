"""The expected fate of every kind of hostile peer, with the reason. The invariants compare it with the outcome.

Two rules hold for every kind: no honest peer is ever convicted, and final views agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from p2pverify.core.contract.lengths import long_share
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.odds import test_steps
from p2pverify.core.state.state import Member
from p2pverify.testnet.processes.conviction import Chances, audits_for, drifts_up, over_long_answers

Fate = Literal[
    "convicted",
    "forked",
    "unavailable",
    "shirks",
    "kept out",
    "harmless",
    "inconsistent",
    "stops cuts",
    "behind",
    "dropped",
    "unpaid",
    "uncounted",
]
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class FateRule:
    """The expected fate of one kind: `fate` in a word, and `why` in a sentence for readers.

    - `by`: the cause of a conviction, lost disputes ("dissent") or a proof ("conflict").
    - `must_convict`: every peer of the kind is convicted after some time. With disputes this takes
      `audits_until_conviction` judged answers, with a proof `epochs` epochs from the onset.
    - `may_convict`: a peer of the kind can be convicted, and the conviction is correct.
    - `needs_weight`: the proof counts only against a peer that has had weight.
    - `must_fork`: the fork of every such peer is proven `epochs` epochs after the onset, if both branches are known.
    """

    fate: Fate
    why: str
    by: Literal["dissent", "conflict"] | None = None
    must_convict: bool = False
    may_convict: bool = False
    needs_weight: bool = False
    must_fork: bool = False
    #: The kind lies at the rate of the scenario (in long answers alone: "long"), always, or never (None). With
    #: "reports" its reports alone are wrong, and with "updates" its trainings, so no rate of judged answers follows.
    rate: Literal["scenario", "long", "always", "reports", "updates"] | None = None
    epochs: int = 0

    def rate_ppm(self, scenario_ppm: int) -> int:
        """The highest rate of wrong answers among the judged answers of this kind, in ppm."""
        return {"scenario": scenario_ppm, "long": scenario_ppm, "always": MILLION}.get(self.rate or "", 0)


def _by_dissent(why: str, rate: Literal["scenario", "long", "always", "reports", "updates"]) -> FateRule:
    return FateRule("convicted", why, by="dissent", must_convict=True, may_convict=True, rate=rate)


FATES: Mapping[str, FateRule] = {
    "always-wrong": _by_dissent("Each audit of it opens a dispute, and it loses them all.", "always"),
    "wrong": _by_dissent(
        "It loses the disputes over its wrong answers, and its right answers do not make up for them.", "scenario"
    ),
    "sleeper": _by_dissent(
        "Agreements before the onset do not count in its favour, because the test's sum has a floor.", "scenario"
    ),
    "long-only": _by_dissent(
        "Its right answers to short questions do not count in the test over long answers.", "long"
    ),
    "colluders": _by_dissent(
        "They can hide what their own audits find, but not what the audits of others find. They are outvoted while "
        "honest members are more than half of the electorate.",
        "scenario",
    ),
    "stalling-colluders": _by_dissent(
        "With less than a third of the weight they cannot prevent the certification of a cut that convicts them.",
        "scenario",
    ),
    "duplicate-aware": FateRule(
        "convicted",
        "The challenger answers each question itself before it asks, so it can compare even if it asks only one peer.",
        by="dissent",
        must_convict=True,
        may_convict=True,
        rate="scenario",
    ),
    "copier": FateRule(
        "convicted",
        "A friend's answer helps only if the same challenger put the same question to both, because every other "
        "question has another sampler key. The friend that runs the model does nothing wrong.",
        by="dissent",
        may_convict=True,
        rate="always",
    ),
    "stale-version": FateRule(
        "convicted",
        "It is asked by members that serve the version which it claims, and compared with them. Its answers are those "
        "of another model. While nobody has released a version, it does nothing wrong.",
        by="dissent",
        may_convict=True,
        rate="always",
    ),
    "rollback": FateRule(
        "behind",
        "A retired or recalled version is not drawn, and a member that serves it is shown as behind. Nobody can claim "
        "such a version. Its answers are right, so it is not convicted.",
    ),
    "stolen-publisher-key": FateRule(
        "kept out", "A release counts only with the signatures of as many publishers as the threshold of the line."
    ),
    "two-bodies": FateRule(
        "kept out",
        "Two releases of one number with enough signatures void the number, and the keys that signed both are struck.",
    ),
    "freeze": FateRule(
        "harmless",
        "A recall counts from the first certified cut that holds it. Below a third of the weight, the other two thirds "
        "certify such a cut.",
    ),
    "proxy": _by_dissent(
        "A question that it forwards under its own name has another sampler key, so it gets another answer. Greedy "
        "questions would not show this, so they earn no weight.",
        "always",
    ),
    "slanderer": _by_dissent(
        "Its own answer was sealed before it asked, so it loses the dispute that it opened.", "scenario"
    ),
    "false-reporter": _by_dissent(
        "The receipt has the responder's signature, and the seats compute the answer themselves. A report that they do "
        "not confirm is a dissent of its reporter.",
        "reports",
    ),
    "mute-slanderer": FateRule(
        "shirks",
        "A dispute that its challenger never opens is decided without the challenger and counted as unopened beside "
        "its name. Until that dispute is closed, the challenger can open no other. An unopened answer is no proof of "
        "a lie.",
    ),
    "withholder": FateRule(
        "shirks",
        "A withheld audit counts as a no-show beside its challenger's name, and a dispute that the challenger never "
        "opens counts as unopened. Other peers find what it hides. None of this proves a lie, so nobody is convicted "
        "for it.",
    ),
    "duty-withholder": FateRule(
        "shirks", "Its epochs are missed duties and its audits do not count. Nobody earns weight without duties."
    ),
    "lazy-challenger": FateRule(
        "harmless",
        "It seals the copied answer, so it loses a dispute whenever it copied a lie. Other peers cannot see whether "
        "it ran the model itself.",
        may_convict=True,
    ),
    "lazy-voter": FateRule(
        "harmless",
        "Another voter's seal opens only for that voter, so its votes do not count, like the votes of a peer that is "
        "away. In a spot check it can copy, because the duty has opened the answer.",
        may_convict=True,
    ),
    "equivocator": FateRule(
        "convicted",
        "Two payloads for one slot, signed by one key, are a proof that needs no vote.",
        by="conflict",
        must_convict=True,
        may_convict=True,
        must_fork=True,  # its neighbours can all be in one half, so that nobody gets the other payload
        epochs=8,
    ),
    "forker": FateRule(
        "forked",
        "Two records with one number are proven and cost the weight for the time that the contract sets. They do not "
        "convict, because a restored backup looks alike.",
        must_fork=True,
        epochs=8,
    ),
    "backdater": FateRule(
        "forked",
        "A claimed date proves nothing. Its join counts from the cut that holds it, its seals come after sealing was "
        "closed, and its fork is proven like any other.",
        must_fork=True,
        epochs=16,
    ),
    "dribbler": FateRule(
        "harmless",
        "A peer that has not seen a record does not sign the cut, fetches the record, and signs the next cut. So the "
        "dribbler delays only its own records.",
    ),
    "replayer": FateRule(
        "harmless",
        "A known record is ignored, a repeated request gets the stored answer, and a repeated request of another peer"
        " is refused.",
    ),
    "hostile-proposer": FateRule(
        "convicted",
        "A member looks at a cut only when the cut's rank allows it, and signs it only if its own fold gives the same"
        " cut. Two proposals for one epoch and base are a proof.",
        by="conflict",
        must_convict=True,
        may_convict=True,
        epochs=24,
    ),
    "double-signer": FateRule(
        "convicted",
        "If two signed cuts do not contain each other, their signatures convict the author once a cut holds both.",
        by="conflict",
        must_convict=True,
        needs_weight=True,
        may_convict=True,
        epochs=16,
    ),
    "non-signer": FateRule(
        "harmless",
        "Below a third of the weight, the other two thirds still certify cuts. Above it, no new cut becomes final.",
    ),
    "key-grinder": FateRule(
        "harmless",
        "A key counts from the cut that holds its join. Draws use the beacon of that cut or a later one, and nobody "
        "knew this beacon when the key was chosen. The grinder can only choose among the anchors of the window.",
    ),
    "sybils": FateRule(
        "kept out",
        "A key has no weight before audits of more than a third of the weight agreed with it. Until then many keys "
        "draw audits to themselves and slow all others down.",
    ),
    "join-flood": FateRule(
        "kept out",
        "A cut takes in 16 new keys in an epoch, and a state has a limited number of rows without weight. A silent key "
        "loses its row.",
    ),
    "late-support": FateRule(
        "harmless",
        "Its first peer is convicted as a double signer. A conviction in a cut beside the path that is supported too "
        "late is carried over by no peer. The other peers only withhold signatures.",
        may_convict=True,
    ),
    "objection-troll": FateRule(
        "harmless",
        "An objection neither frees nor convicts anybody. It costs others a second look at each decision, and it is "
        "shown with the name of its author.",
    ),
    "bloat": FateRule(
        "kept out",
        "Proposals and signatures of a peer without weight are not remembered, and audits of slots that are not owed "
        "are void. So the state grows only with its rows.",
    ),
    "takeover": FateRule(
        "stops cuts",
        "Its weight grows at the pace of growth_epochs, whatever it spends. When it has most of the weight and lies, "
        "honest members know that the decisions are wrong. They sign no conviction that rests on them, so cuts stop.",
        may_convict=True,
    ),
    "takeover-slow": FateRule(
        "stops cuts", "It has the same weight at the same time as a gang that joins at once.", may_convict=True
    ),
    "sponsored": FateRule(
        "stops cuts",
        "With sponsors in its power its weight grows up to four times as fast. Nothing else differs from a takeover.",
        may_convict=True,
    ),
    "eclipse": FateRule(
        "harmless",
        "One honest link is enough to catch up. Without an honest link the victim stays behind, but it never sees a "
        "final view that contradicts the others.",
    ),
    "spammer": FateRule(
        "kept out",
        "A peer that forwards rejected messages, or promises messages that never come, is dropped by its neighbours' "
        "routers.",
    ),
    "slow-hardware": FateRule(
        "inconsistent",
        "Challengers measure how long answers take, and compare the times with those of others that claim the same "
        "hardware. The result is shown beside the score and decides nothing.",
    ),
    "poison-labels": FateRule(
        "unpaid",
        "Its update is worth less than nothing on rows of others, so it has no credit, and is left out of the model "
        "after some rounds. Honest rows that are unlike the others' look alike, so nobody is convicted for it.",
    ),
    "poison-sign": FateRule("unpaid", "As with false labels."),
    "boost": FateRule(
        "unpaid", "The trimmed mean leaves the greatest numbers out, and the clip bounds them. Otherwise as before."
    ),
    "free-rider": FateRule("unpaid", "An update of zeros changes nothing on rows of others, so it has no credit."),
    "short-training": _by_dissent(
        "All members see its rows and train again, so each of its updates is found to be false.", "updates"
    ),
    "copy-update": FateRule(
        "uncounted", "A seal has its author inside, so the copy of another one's seal opens to nothing."
    ),
    "overspend": FateRule(
        "uncounted",
        "A round in which the budget of its rows is used up does not expect it, and its seals do not count.",
    ),
    "lazy-evaluator": FateRule(
        "harmless",
        "A seal has its voter inside, so the copy of another voter's seal opens to nothing. Its votes do not count "
        "and are not paid.",
    ),
    "wash-trader": FateRule(
        "harmless",
        "What one of its keys gets the other one owes. Cheques give no weight and no score, and what nobody pays is no "
        "money.",
    ),
    "escrow-slanderer": _by_dissent(
        "It loses the disputes about its reports. What a loser forfeits goes back to where it came from, never to its "
        "accuser.",
        "reports",
    ),
    "silent": FateRule("unavailable", "A missing answer counts against availability, never against honesty."),
}


def audits_until_conviction(
    network: Network, class_index: int, rate_ppm: int, *, certainty_ppm: int = 500_000, is_long: bool = False
) -> int | None:
    """The number of judged answers until a peer with wrong answers at `rate_ppm` is convicted with this probability.

    With `is_long` only long answers are wrong, and only their test counts. None if the test is not made for so low a
    rate. Only answers that count are judged answers: one dissent per epoch and peer counts, and a dispute that lapses
    because too many others are open does not.
    """
    params = network.params
    steps = test_steps(network.classes[class_index].honest_ppm, params.cheat_ppm, params.conviction_odds)
    chances = Chances(rate_ppm / MILLION, 1 - rate_ppm / MILLION)
    if is_long:
        steps, chances = over_long_answers(steps, chances, float(long_share(params)))
    return audits_for(steps, chances, certainty_ppm / MILLION) if drifts_up(steps, chances) else None


def shows(rule: FateRule, member: Member | None) -> bool:
    """Whether a member of a final view has the marks of its fate that a view can show. None is a peer that is not in
    the view.
    """
    if member is None:
        return rule.fate in {"kept out", "harmless"}
    if member.is_convicted:
        return rule.must_convict or rule.may_convict
    match rule.fate:
        case "convicted":
            return False
        case "forked":
            return bool(member.forks)
        case "unavailable":
            contacts = member.contacts.values()
            return sum(c.answered for c in contacts) * 2 <= sum(c.asked for c in contacts)
        case _:
            return True
