"""Seals, updates, commits and votes of training rounds, as a step of the fold counts them.

A record that does not count is counted by its reason. A second, different one for the same round convicts.
"""

from dataclasses import replace

from p2pverify.core.blind import rounds as blind
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.refusals import refuse_opening, refuse_seal
from p2pverify.core.blind.values import OpenedAnswer, Sealed
from p2pverify.core.contract.history.training import OPEN, TrainingRule
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import UpdateSeal, decode_update_seal, update_seal
from p2pverify.core.records.payloads.rounds.update import Update, decode_update
from p2pverify.core.records.payloads.rounds.votes import (
    RoundCommit,
    RoundVote,
    decode_round_commit,
    decode_round_vote,
    round_commit,
)
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.past.notes import PastRound
from p2pverify.core.state.rounds.notes import (
    NO_ROUNDS,
    OpenedUpdate,
    OpenRound,
    ResultVote,
    SealedUpdate,
    TrainingPhase,
)
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.training.budget import round_rho
from p2pverify.core.training.result import authors_of


def open_round(state: State, place: RoundPlace) -> OpenRound | None:
    """The open round at a place, None if it is over or has not opened."""
    found = state.rounds.get(place.line, NO_ROUNDS).open
    return None if found is None or found.number != place.number else found


def rule_of(step: Transition, place: RoundPlace) -> TrainingRule:
    rule = step.network.lines[place.line].training
    assert rule is not None  # the record was judged
    return rule


def note(step: Transition, place: RoundPlace, **changes: object) -> None:
    """Change the open round at a place."""
    known = step.state.rounds[place.line]
    assert known.open is not None
    step.state.rounds[place.line] = replace(known, open=replace(known.open, **changes))  # type: ignore[arg-type]


def cited_round(step: Transition, certificate: bytes, place: RoundPlace) -> PastRound | None:
    """The round as it was at a cited cut; None if that is not certified here, or the round was not open there."""
    cited = step.past(certificate) if step.is_certified(certificate) else None
    known = None if cited is None else cited.rounds.get(place.line)
    return None if known is None or known.number != place.number else known


# ---------------------------------------------------------------- seals and updates


def take_seal(step: Transition, record: Record) -> None:
    """Count the sealed update of a contributor."""
    state, seal = step.state, decode_update_seal(record.payload)
    current = open_round(state, seal.place)
    if current is None:
        return
    known = current.seals.get(record.author)
    if known is not None:
        if (known.commit, known.dataset) != (seal.commit, seal.dataset):
            state.convict(record.author, "two updates in one round")
        return
    refused = refuse_update_seal(step, current, record.author, seal)
    if refused is not None:
        state.count(f"update seal: {refused}")
        return
    late = state.index - current.opened_index - 1
    sealed = SealedUpdate(seal.commit, record.seq, seal.dataset, late)
    note(step, seal.place, seals={**current.seals, record.author: sealed})


def refuse_update_seal(step: Transition, current: OpenRound, author: bytes, seal: UpdateSeal) -> str | None:
    """The reason why a sealed update is not counted, or None."""
    if current.phase is not TrainingPhase.SEALING:
        return "after the sealing was closed"
    if author not in current.expected:
        return "author does not contribute to the round"
    if seal.base != current.manifest:
        return "another base"
    if cited_round(step, seal.certificate, seal.place) is None:
        return "certificate does not hold the round"
    offered = step.state.datasets.get(seal.dataset)
    if offered is None or offered.author != author or offered.index > current.opened_index:
        return "no data set of the author"
    again = current.repeats
    if again is not None and again.uses[author].dataset != seal.dataset:
        return "another data set than in the round that is repeated"
    return refuse_data(rule_of(step, seal.place), offered, is_again=again is not None)


def refuse_data(rule: TrainingRule, offered: LiveDataset, *, is_again: bool = False) -> str | None:
    """Why a data set cannot be used in the next round of a rule, or None.

    A round that is repeated shows the rows that were drawn before, and costs as much of the budget as any other.
    """
    use = offered.training
    if use is None or (use.terms.mode, offered.schema) != (rule.mode, rule.schema):
        return "data set is not offered for the rule"
    if not is_again and use.shown + rule.held_rows > use.terms.held:
        return "held-out rows are used up"
    if use.spent + round_rho(rule) > use.terms.budget:
        return "privacy budget is used up"
    return None


def take_update(step: Transition, record: Record) -> None:
    """Count an opened update, and the held-out rows and the privacy budget that it uses."""
    state, update = step.state, decode_update(record.payload)
    current = open_round(state, update.place)
    if current is None or record.author in current.updates:
        return
    refused = refuse_update(step, current, record.author, update)
    if refused is not None:
        state.count(f"update: {refused}")
        return
    dataset, rule = current.seals[record.author].dataset, rule_of(step, update.place)
    offered, again = state.datasets[dataset], current.repeats
    use = offered.training
    assert use is not None  # refuse_data
    opened = OpenedUpdate(
        update.trained,
        update.shown,
        update.shown_bytes,
        offered.root,
        offered.size,
        use.seed,
        use.terms.held,
        use.shown if again is None else again.uses[record.author].position,
        offered.erased,
    )
    note(step, update.place, updates={**current.updates, record.author: opened})
    shown = use.shown + (rule.held_rows if again is None else 0)
    used = replace(use, shown=shown, spent=use.spent + round_rho(rule))
    state.datasets[dataset] = replace(offered, training=used)


def refuse_update(step: Transition, current: OpenRound, author: bytes, update: Update) -> str | None:
    """The reason why an opened update is not counted, or None."""
    if current.phase is not TrainingPhase.OPENING:
        return "not while updates are opened"
    seal = current.seals.get(author)
    if seal is None:
        return "no seal was counted"
    then = cited_round(step, update.certificate, update.place)
    if then is None or then.phase is TrainingPhase.SEALING:
        return "certificate is before the sealing was closed"
    salted = (update.trained, update.salt)
    if update_seal(step.network_id, author, update.place, current.manifest, seal.dataset, *salted) != seal.commit:
        return "does not open the seal"
    rule, offered = rule_of(step, update.place), step.state.datasets.get(seal.dataset)
    if offered is None:
        return "data set is no longer offered"
    refused = refuse_data(rule, offered, is_again=current.repeats is not None)
    if refused is not None:
        return refused
    if (update.trained.steps is None) != (rule.mode != OPEN):
        return "steps do not fit the mode"
    assert offered.training is not None  # refuse_data
    trained = min(offered.rows, offered.size - offered.training.terms.held)
    return None if update.trained.rows <= trained else "more rows than the data set has for training"


# ---------------------------------------------------------------- the vote


def take_round_commit(step: Transition, record: Record) -> None:
    """Count a voter's sealed result."""
    state, commit = step.state, decode_round_commit(record.payload)
    current = open_round(state, commit.place)
    if current is None or current.vote is None:
        return
    known = current.vote.commits.get(record.author)
    if known is not None:
        if known.commit != commit.commit:
            state.convict(record.author, "two commits for one round")
        return
    refused = refuse_round_commit(step, current.vote, record.author, commit)
    if refused is not None:
        state.count(f"round commit: {refused}")
        return
    sealed = Sealed(commit.commit, record.seq, EVERYONE)
    note(step, commit.place, vote=blind.count_seal(current.vote, record.author, sealed, None))


def refuse_round_commit(step: Transition, vote: ResultVote, voter: bytes, commit: RoundCommit) -> str | None:
    """The reason why a sealed result is not counted, or None."""
    refused = refuse_seal(vote, voter)
    if refused is not None:
        return refused
    then = cited_round(step, commit.certificate, commit.place)
    return "certificate does not open the vote" if then is None or then.vote is None else None


def take_round_vote(step: Transition, record: Record) -> None:
    """Count a voter's opened result."""
    state, vote = step.state, decode_round_vote(record.payload)
    current = open_round(state, vote.place)
    if current is None or current.vote is None:
        return
    output = vote.result.digest
    known = current.vote.votes.get(record.author)
    if known is not None:
        if known.output != output:
            state.convict(record.author, "two votes for one round")
        return
    refused = refuse_round_vote(step, current, record.author, vote)
    if refused is not None:
        state.count(f"round vote: {refused}")
        return
    votes = {**current.vote.votes, record.author: OpenedAnswer(output)}
    results = {**current.vote.results, output: vote.result}
    note(step, vote.place, vote=replace(current.vote, votes=votes, results=results))


def refuse_round_vote(step: Transition, current: OpenRound, voter: bytes, vote: RoundVote) -> str | None:
    """The reason why an opened result is not counted, or None."""
    asked = current.vote
    assert asked is not None
    then = cited_round(step, vote.certificate, vote.place)
    if then is None or then.vote is None or not then.vote.is_closed:
        return "certificate is before the sealing was closed"
    seen = step.head_seq(vote.certificate, voter)
    refused = refuse_opening(asked, then.vote, voter, seen, is_work_shown=False)
    if refused is not None:
        return refused
    opened = round_commit(step.network_id, vote.place, voter, vote.result.digest, vote.salt)
    if opened != asked.commits[voter].commit:
        return "does not open the commit"
    if vote.result.closing != step.state.at_index(asked.opened_index):
        return "another closing cut"
    return None if authors_of(vote.result.rows) == tuple(sorted(current.updates)) else "rows are not those of the round"
