"""The phases of training rounds. There is no coordinator: each change comes with a cut.

| phase   | event at the cut                                          | next    | function        |
|---------|-----------------------------------------------------------|---------|-----------------|
| none    | no round is open, and enough contributors have data       | SEALING | `open_rounds`   |
| SEALING | all expected contributors sealed, or the time is over     | OPENING | `close_sealing` |
| OPENING | all sealed updates are open, or the time is over          | VOTING  | `open_vote`     |
|         | the same in mode 2                                        | REPORTING | `open_vote`   |
| REPORTING | all owners sealed their losses, or the time is over     | DISCLOSING | `close_losses` |
| DISCLOSING | all sealed losses are open, or the time is over        | VOTING  | `open_vote_of_losses` |
| VOTING  | more than two thirds of the electorate agree on a result  | none    | `decide`        |
| any     | too few houses take part, or the vote is past its deadline | none    | `_void`         |

The decided result is a new version of the line, or keeps the base if it gains too little.
"""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.blind import rounds as blind
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.contract.history.training import REPORTED, TrainingRule
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.settle.books import MoveReason
from p2pverify.core.settle.rounds import Contribution, DecidedRound
from p2pverify.core.state.lines.notes import NO_RELEASE, LineNotes, Version
from p2pverify.core.state.lines.take import VERSIONS_MAX, refuse_manifest
from p2pverify.core.state.lines.versions import line_of, manifest_of, notes_of
from p2pverify.core.state.rounds import replay
from p2pverify.core.state.rounds.marks import left_out_of, with_marks
from p2pverify.core.state.rounds.notes import (
    NO_ROUNDS,
    ClosedRound,
    ContributionNote,
    LineRounds,
    OpenRound,
    RepeatableRound,
    ResultVote,
    TrainingPhase,
)
from p2pverify.core.state.rounds.take import refuse_data
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.training.result import RoundResult, UpdateFinding, unseen_in

#: Rounds of a line that are over and still remembered; the oldest are forgotten first.
CLOSED_ROUNDS_KEPT = 8
#: Stands for a slot in the dissents of a round. Reports use 255.
ROUND_SLOT = 254


def houses_of(rule: TrainingRule, keys: Iterable[bytes]) -> int:
    """How many houses these contributors are of. A contributor that the rule does not list is a house of its own."""
    return len(rule.sorted_houses(keys))


def least_houses(rule: TrainingRule) -> int:
    """The houses without which there is no round, so that `f` false updates cannot decide it."""
    return max(2, 3 * rule.f + 2)


def void_recalled(step: Transition) -> None:
    """Void the rounds whose base was recalled. Rounds that led to a recalled version are not repeated."""
    state = step.state
    for index in sorted(state.rounds):
        notes = notes_of(step.network, state, index)
        known = state.rounds[index] = replay.without_recalled(notes, state.rounds[index])
        if known.open is None:
            continue
        if replay.is_recalled(notes, known.open.base):
            _void(state, index, known, "the base was recalled")


def close_sealing(step: Transition) -> None:
    """Close the sealing of rounds in which all have sealed, or whose time is over."""
    state = step.state
    for index, rule, known, current in _open(step, TrainingPhase.SEALING):
        is_over = state.index >= current.opened_index + rule.seal_cuts
        if state.index == current.opened_index or not (is_over or current.expected <= current.seals.keys()):
            continue
        if houses_of(rule, current.seals) < least_houses(rule):
            _void(state, index, known, "too few updates sealed")
            continue
        drawn = state.beacon if current.repeats is None else current.repeats.drawn
        closed = replace(current, phase=TrainingPhase.OPENING, closed_index=state.index, drawn=drawn)
        state.rounds[index] = replace(known, open=closed)


def open_vote(step: Transition) -> None:
    """Open the vote of rounds whose updates are all open, or whose time for that is over."""
    state = step.state
    for index, rule, known, current in _open(step, TrainingPhase.OPENING):
        is_over = state.index >= current.closed_index + rule.open_cuts
        if state.index == current.closed_index or not (is_over or current.seals.keys() <= current.updates.keys()):
            continue
        if houses_of(rule, current.updates) < least_houses(rule):
            _void(state, index, known, "too few updates opened")
        elif rule.mode == REPORTED:
            _wait_for_losses(state, index, known, current, TrainingPhase.REPORTING)
        else:
            _begin_vote(step, index, known, current)


def close_losses(step: Transition) -> None:
    """Close the sealing of losses in rounds in which all owners have sealed, or whose time for that is over."""
    state = step.state
    for index, rule, known, current in _open(step, TrainingPhase.REPORTING):
        is_over = state.index >= current.reported_index + rule.seal_cuts
        if state.index == current.reported_index or not (is_over or current.updates.keys() <= current.losses.keys()):
            continue
        if houses_of(rule, current.losses) < least_houses(rule):
            _void(state, index, known, "too few losses sealed")
        else:
            _wait_for_losses(state, index, known, current, TrainingPhase.DISCLOSING)


def open_vote_of_losses(step: Transition) -> None:
    """Open the vote of rounds whose sealed losses are all open, or whose time for that is over."""
    state = step.state
    for index, rule, known, current in _open(step, TrainingPhase.DISCLOSING):
        told = [owner for owner, note in current.losses.items() if note.losses]
        is_over = state.index >= current.reported_index + rule.open_cuts
        if state.index == current.reported_index or not (is_over or len(told) == len(current.losses)):
            continue
        if houses_of(rule, told) < least_houses(rule):
            _void(state, index, known, "too few losses opened")
        else:
            _begin_vote(step, index, known, current)


def _wait_for_losses(state: State, index: int, known: LineRounds, current: OpenRound, phase: TrainingPhase) -> None:
    state.rounds[index] = replace(known, open=replace(current, phase=phase, reported_index=state.index))


def _begin_vote(step: Transition, index: int, known: LineRounds, current: OpenRound) -> None:
    state = step.state
    electorate = frozenset(
        peer
        for peer, member in state.members.items()
        if member.may_vote(state.epoch) and line_of(step.network, state, peer) == index
    )
    vote = ResultVote(electorate=electorate, opened_index=state.index, round=blind.begin(EVERYONE, state.index))
    voting = replace(current, phase=TrainingPhase.VOTING, vote=vote, vote_epoch=state.epoch)
    state.rounds[index] = replace(known, open=voting)


def close_vote_sealing(step: Transition) -> None:
    """Close the sealing of votes with enough sealed results or no time left."""
    for index, rule, known, current in _open(step, TrainingPhase.VOTING):
        assert current.vote is not None
        cuts = max(blind.SEAL_CUTS, rule.seal_cuts)  # who needs long for a training needs long for a result
        vote = blind.close_sealing(current.vote, step.state.index, cuts)
        step.state.rounds[index] = replace(known, open=replace(current, vote=vote))


def decide(step: Transition) -> None:
    """Decide the rounds in which enough voters agree, and void those past their deadline."""
    state = step.state
    for index, rule, known, current in _open(step, TrainingPhase.VOTING):
        assert current.vote is not None
        vote = blind.tally(current.vote, state.index)
        if vote.decision is not None:
            _take_effect(step, index, rule, known, current, vote)
        elif state.epoch > current.vote_epoch + step.reach.dispute_epochs:
            for peer in blind.unopened(vote, state.index):
                if peer in state.members:
                    state.change(peer, unopened=state.members[peer].unopened + 1)
            _void(state, index, known, "no decision")


def open_rounds(step: Transition) -> None:
    """Open the next round of each trained line of which none is open, if enough contributors have data for it.

    Rounds that are to be repeated come first.
    """
    state = step.state
    for index, line in enumerate(step.network.lines):
        known = state.rounds.get(index, NO_ROUNDS)
        rule = line.training
        if rule is None or known.open is not None:
            continue
        notes = notes_of(step.network, state, index)
        known = replay.begun(state, known)
        while known.open is None and known.replay.todo:
            known = _open_again(step, rule, index, known, notes)
        if known.open is None and known.decided < rule.rounds:
            known = _open_next(step, rule, index, known, notes)
        if known is not NO_ROUNDS:
            state.rounds[index] = known


def _open_next(step: Transition, rule: TrainingRule, index: int, known: LineRounds, notes: LineNotes) -> LineRounds:
    expected = contributors_of(step.state, rule)
    if houses_of(rule, expected) < least_houses(rule):
        return known
    return _opened(step, index, known, notes, replay.base_of(rule, known, notes), expected, None)


def _open_again(step: Transition, rule: TrainingRule, index: int, known: LineRounds, notes: LineNotes) -> LineRounds:
    """The rounds of a line with the next repetition open; without it if it cannot be."""
    state, past = step.state, known.replay.todo[0]
    base = replay.base_again(known.replay, past)
    expected = frozenset(
        peer
        for peer, use in past.uses.items()
        if _may_contribute(state, rule, peer) and _has_still(state, rule, peer, use.dataset)
    )
    if houses_of(rule, expected) < least_houses(rule) or replay.is_recalled(notes, base):
        state.count("rounds not repeated")
        return replay.repeated(state, known, base)
    return _opened(step, index, known, notes, base, expected, past)


def _has_still(state: State, rule: TrainingRule, peer: bytes, dataset: bytes) -> bool:
    offered = state.datasets.get(dataset)
    return offered is not None and offered.author == peer and refuse_data(rule, offered, is_again=True) is None


def _opened(
    step: Transition,
    index: int,
    known: LineRounds,
    notes: LineNotes,
    base: int,
    expected: frozenset[bytes],
    past: RepeatableRound | None,
) -> LineRounds:
    state, number = step.state, known.newest + 1
    manifest = manifest_of(step.network.lines[index], notes, base)
    beacon = state.beacon if past is None else past.beacon
    opened = OpenRound(number, base, manifest, state.index, state.epoch, beacon, expected, repeats=past)
    return replace(known, newest=number, open=opened)


def contributors_of(state: State, rule: TrainingRule) -> frozenset[bytes]:
    """The contributors of a round that opens at this cut: they have offered fitting data before it."""
    ready = {
        offered.author
        for offered in state.datasets.values()
        if offered.index < state.index and refuse_data(rule, offered) is None
    }
    return frozenset(peer for peer in ready if _may_contribute(state, rule, peer))


def _may_contribute(state: State, rule: TrainingRule, peer: bytes) -> bool:
    member = state.members.get(peer)
    if member is None or not member.active or member.is_convicted:
        return False
    return rule.house_of(peer) is not None if rule.contributors else member.may_vote(state.epoch)


def _open(step: Transition, phase: TrainingPhase) -> list[tuple[int, TrainingRule, LineRounds, OpenRound]]:
    """The open rounds in a phase, by line, each with the rule of its line."""
    found = []
    for index, known in sorted(step.state.rounds.items()):
        rule = step.network.lines[index].training
        if known.open is not None and known.open.phase is phase and rule is not None:
            found.append((index, rule, known, known.open))
    return found


def _void(state: State, index: int, known: LineRounds, reason: str) -> None:
    """Close a round without a result: the base stays, nobody is paid, and what was shown is shown."""
    current = known.open
    assert current is not None
    state.count(f"void round: {reason}")
    again = 0 if current.repeats is None else current.repeats.number
    over = ClosedRound(current.number, current.base, -1, state.epoch, 0, (), repeats=again)
    closed = _closed(known, over)
    state.rounds[index] = closed if current.repeats is None else replay.repeated(state, closed, current.base)


def _closed(known: LineRounds, over: ClosedRound) -> LineRounds:
    return replace(known, open=None, closed=(*known.closed, over)[-CLOSED_ROUNDS_KEPT:])


def _take_effect(
    step: Transition, index: int, rule: TrainingRule, known: LineRounds, current: OpenRound, vote: ResultVote
) -> None:
    state = step.state
    assert vote.decision is not None
    result = vote.results[vote.decision]
    state.count("decided rounds")
    version = _release(step, index, current, result)
    contributions = tuple(
        ContributionNote(row, current.updates[row.author].trained.rows, seal.late, seal.dataset)
        for row in result.rows
        for seal in (current.seals[row.author],)
    )
    agreed = (len(blind.winners(vote)), len(vote.electorate))
    again = 0 if current.repeats is None else current.repeats.number
    over = ClosedRound(
        current.number, current.base, version, state.epoch, result.gain, contributions, agreed, repeats=again
    )
    after = replay.decided(state, rule, _closed(known, over), current, over)
    state.rounds[index] = after if again else with_marks(rule, after, over)
    wrong = {row.author for row in result.rows if row.finding is UpdateFinding.FALSE}
    for voter in blind.losers(vote):
        own = vote.results[vote.votes[voter].output]
        if unseen_in(own) == unseen_in(result):  # else they had other bytes before them
            wrong.add(voter)
    cause = DisputeKey(step.network.lines[index].genesis, current.opened_epoch, ROUND_SLOT)
    for peer in sorted(wrong):
        step.dissent_over(peer, cause)
    _pay(step, index, rule, over, blind.winners(vote), cause)


def _pay(
    step: Transition, index: int, rule: TrainingRule, over: ClosedRound, voters: set[bytes], cause: DisputeKey
) -> None:
    """Note what the settlement of this step pays: votes with the decision, and from pledges the right updates.

    The updates of a round that is repeated were paid in that round.
    """
    if step.network.tariff is None:
        return
    for voter in sorted(voters):
        step.earn(MoveReason.VOTE, voter, cause)
    if over.repeats:
        return
    paid = [Contribution(each.row.author, each.row.credit, each.rows, each.late) for each in over.contributions]
    step.rounds.append(DecidedRound(index, over.number, over.gain, rule.gain_min, rule.gain_full, paid))


def _release(step: Transition, index: int, current: OpenRound, result: RoundResult) -> int:
    """Add the version that a round made. Returns its number, or -1 if the base is kept.

    A repetition that makes the version that was there before shows that nothing of the erased rows is in it.
    """
    state = step.state
    if result.manifest == current.manifest:
        return -1
    same = None if current.repeats is None else replay.same_version(step.network, state, index, result.manifest)
    if same is not None:
        return same
    refused = refuse_manifest(step.network, state, result.manifest)
    if refused is not None:
        state.count(f"round: {refused}")
        return -1
    notes = notes_of(step.network, state, index)
    kept_out = left_out_of(state.rounds[index], current)
    right = {row.author for row in result.rows if row.finding is UpdateFinding.RIGHT} - kept_out
    fed = frozenset(current.seals[author].dataset for author in right)
    made = Version(
        notes.newest + 1,
        result.manifest,
        NO_RELEASE,
        result.digest,
        frozenset(),
        (current.manifest,),
        state.epoch,
        (None,) * len(step.network.classes),
        fed=fed,
    )
    state.lines[index] = replace(notes, versions=(*notes.versions, made)[-VERSIONS_MAX:], newest=made.number)
    return made.number
