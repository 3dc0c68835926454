"""What the network must do about every kind of peer, and why; invariants compare it with what happened.

Whatever the kind, no honest peer may ever be convicted and final views must agree: that is no fate, but the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from p2pverify.core.contract.network import Network, test_steps
from p2pverify.core.state.state import Member
from p2pverify.testnet.processes.conviction import Chances, audits_for, drifts_up

Fate = Literal["convicted", "forked", "unavailable", "shirks", "kept out", "harmless", "inconsistent"]
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class FateRule:
    """`fate` in a word; `why` in a sentence, for readers.

    `by` tells what convicts: lost disputes or a proof. `must_convict` says that it happens to all of the kind once they
    have been at it for long enough: in disputes after `audits_until_conviction` judged answers, by a proof after
    `epochs` from the onset. `may_convict`: it can happen to such a peer, and is right then.
    """

    fate: Fate
    why: str
    by: Literal["dissent", "conflict"] | None = None
    must_convict: bool = False
    may_convict: bool = False
    must_fork: bool = False
    #: Lies at the rate of the scenario, or always.
    rate: Literal["scenario", "always"] | None = None
    epochs: int = 0

    def rate_ppm(self, scenario_ppm: int) -> int:
        """At which rate of its judged answers a peer of this kind is wrong, at most."""
        return {"scenario": scenario_ppm, "always": MILLION, None: 0}[self.rate]


def _by_dissent(why: str, rate: Literal["scenario", "always"]) -> FateRule:
    return FateRule("convicted", why, by="dissent", must_convict=True, may_convict=True, rate=rate)


FATES: Mapping[str, FateRule] = {
    "always-wrong": _by_dissent("Each audit of it opens a dispute, and it loses them all.", "always"),
    "wrong": _by_dissent(
        "It loses the disputes over those answers that were wrong, more than its right ones make up for.", "scenario"
    ),
    "sleeper": _by_dissent(
        "Agreements before the onset do not count in its favour: the test's sum has a floor.", "scenario"
    ),
    "colluders": _by_dissent(
        "They can hide what they find themselves, but not what others find, and are outvoted while honest members are "
        "more than half of the electorate.",
        "scenario",
    ),
    "stalling-colluders": _by_dissent(
        "With less than a third of the weight they cannot keep the cut from being certified that convicts them.",
        "scenario",
    ),
    "duplicate-aware": FateRule(
        "convicted",
        "The challenger answers each question itself before it asks, so that one who asks only once compares as well.",
        by="dissent",
        must_convict=True,
        may_convict=True,
        rate="scenario",
    ),
    "copier": FateRule(
        "convicted",
        "A friend's answer helps only where the same challenger put the same question to both; any other question has "
        "another sampler key. The friend that runs the model does nothing wrong.",
        by="dissent",
        may_convict=True,
        rate="always",
    ),
    "proxy": _by_dissent(
        "A question forwarded under its own name has another sampler key, and so another answer. It would not show in "
        "greedy questions, which therefore earn no weight.",
        "always",
    ),
    "slanderer": _by_dissent(
        "Its own answer was sealed before it asked, and loses the dispute that it opened.", "scenario"
    ),
    "mute-slanderer": FateRule(
        "shirks",
        "A dispute that its challenger never opens is decided without it and counted as unopened beside its name, and "
        "until that one is closed it opens no other; what it never opened is no proof of a lie.",
    ),
    "withholder": FateRule(
        "shirks",
        "A withheld audit is a no-show with its name on it, a dispute that it never opens is counted as unopened, and "
        "what it hides others find; that is no proof of a lie, so nobody is convicted for it.",
    ),
    "duty-withholder": FateRule(
        "shirks", "Its epochs are missed duties, its audits count for nothing, and without them nobody earns weight."
    ),
    "lazy-challenger": FateRule(
        "harmless",
        "It seals what it copied, so it loses a dispute whenever it copied a lie; whether it ran the model itself "
        "cannot be seen from outside.",
        may_convict=True,
    ),
    "lazy-voter": FateRule(
        "harmless",
        "Another's seal opens for nobody else, so its votes do not count, like those of a peer that is away; in a spot "
        "check it can copy, since the duty has opened the answer.",
        may_convict=True,
    ),
    "equivocator": FateRule(
        "convicted",
        "Two payloads for one slot, signed by one key, are a proof that needs no vote.",
        by="conflict",
        must_convict=True,
        may_convict=True,
        epochs=8,
    ),
    "forker": FateRule(
        "forked",
        "Two records with one number are proven and cost the weight for as long as the contract says, but a restored "
        "backup looks alike, so it does not convict.",
        must_fork=True,
        epochs=8,
    ),
    "backdater": FateRule(
        "forked",
        "A claimed date proves nothing: its join counts from the cut that holds it, its seals come after the sealing "
        "was closed, and its fork is proven like any other.",
        must_fork=True,
        epochs=16,
    ),
    "dribbler": FateRule(
        "harmless",
        "Who has not seen a record does not sign, fetches it, and signs the next cut: it delays its own records.",
    ),
    "replayer": FateRule(
        "harmless", "A known record is ignored, a repeated request gets the stored answer, a stranger's is refused."
    ),
    "hostile-proposer": FateRule(
        "convicted",
        "A cut is looked at when its rank says, and signed only if one's own fold gives it; two proposals for one "
        "epoch and base are a proof.",
        by="conflict",
        must_convict=True,
        may_convict=True,
        epochs=24,
    ),
    "double-signer": FateRule(
        "convicted",
        "Signatures of two cuts of which neither contains the other convict their author once a cut holds both.",
        by="conflict",
        must_convict=True,
        may_convict=True,
        epochs=16,
    ),
    "non-signer": FateRule(
        "harmless", "Below a third of the weight two thirds are left to certify; above it, nothing new becomes final."
    ),
    "key-grinder": FateRule(
        "harmless",
        "A key counts from the cut that holds its join, and draws come from that cut's beacon or a later one, which "
        "nobody knew when the key was chosen. What is left is the choice among the anchors of the window.",
    ),
    "sybils": FateRule(
        "kept out",
        "A key has no weight before audits of more than a third of the weight agreed with it. Until then a crowd of "
        "keys draws audits to itself, and so slows all others down.",
    ),
    "eclipse": FateRule(
        "harmless",
        "One honest link is enough to catch up; without any the victim stays behind, but never sees anything final "
        "that contradicts the others.",
    ),
    "spammer": FateRule(
        "kept out",
        "Whoever forwards what is rejected, or promises what never comes, is dropped by its neighbours' routers.",
    ),
    "slow-hardware": FateRule(
        "inconsistent",
        "Challengers measure how long answers take, and hold that against others that claim the same hardware. It is "
        "shown beside the score and decides nothing.",
    ),
    "silent": FateRule("unavailable", "No answer counts against availability, never against honesty."),
}


def audits_until_conviction(
    network: Network, class_index: int, rate_ppm: int, *, certainty_ppm: int = 500_000
) -> int | None:
    """Judged answers after which a peer that is wrong at a rate is convicted with this certainty; None if the test is
    not made for so low a rate. Judged are only answers that count: one dissent per epoch and peer, and what lapses
    for want of room among the disputes does not.
    """
    params = network.params
    steps = test_steps(network.classes[class_index].honest_ppm, params.cheat_ppm, params.conviction_odds)
    chances = Chances(rate_ppm / MILLION, 1 - rate_ppm / MILLION)
    return audits_for(steps, chances, certainty_ppm / MILLION) if drifts_up(steps, chances) else None


def shows(rule: FateRule, member: Member | None) -> bool:
    """Whether a member of a final view has the marks of its fate, as far as the view tells them."""
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
