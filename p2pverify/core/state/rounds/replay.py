"""The replay of training rounds after an erasure, in lines whose rule says so.

When rows are erased on which decided rounds were run, the line goes back to the version before the first of these
rounds, and repeats all rounds since: with the same contributors, seeds, drawn rows and quarantines, and without the
erased rows. Rows keep their numbers, so the last version is that of a run that never had the erased ones.

A repeated round is a round like any other: sealed, opened and voted on. It has a number of its own, and replaces the
one that it repeats in `decided`. A replay rests as long as the last one took, so that erasures cannot keep a line from
new rounds for more than half of the time. Protocol page: protocol/round.md.
"""

from dataclasses import replace

from p2pverify.core.contract.history.training import REPLAY, TrainingRule
from p2pverify.core.contract.network import Network
from p2pverify.core.state.lines.notes import LineNotes
from p2pverify.core.state.lines.versions import find_version, newest_number, notes_of, number_of
from p2pverify.core.state.rounds.marks import left_out_of
from p2pverify.core.state.rounds.notes import (
    ClosedRound,
    LineRounds,
    OpenRound,
    PastUse,
    RepeatableRound,
    RoundReplay,
)
from p2pverify.core.state.state import State
from p2pverify.core.training.result import UpdateFinding


def note_erasure(state: State, dataset: bytes) -> None:
    """Note that rows of a data set (id of its record) were erased: what was trained on them is tainted from now on."""
    for index, notes in sorted(state.lines.items()):
        versions = tuple(
            replace(version, erased_epoch=state.epoch) if dataset in version.fed and not version.has_erased else version
            for version in notes.versions
        )
        state.lines[index] = replace(notes, versions=versions)
    for index, known in sorted(state.rounds.items()):
        past = tuple(
            replace(each, is_erased=True) if any(use.dataset == dataset for use in each.uses.values()) else each
            for each in known.past
        )
        state.rounds[index] = replace(known, past=past)


def is_in_round(state: State, author: bytes, dataset: bytes) -> bool:
    """Whether an author has sealed an update on a data set in a round that is open."""
    for known in state.rounds.values():
        seal = None if known.open is None else known.open.seals.get(author)
        if seal is not None and seal.dataset == dataset:
            return True
    return False


# ---------------------------------------------------------------- the course of a replay


def begun(state: State, known: LineRounds) -> LineRounds:
    """The rounds of a line, none of which is open, with a replay begun if there is something to repeat."""
    erased = [at for at, past in enumerate(known.past) if past.is_erased]
    if known.replay.todo or not erased or state.index < known.replay.rests_until:
        return known
    state.count("replays")
    todo = tuple(replace(past, is_erased=False) for past in known.past[erased[0] :])
    return replace(
        known,
        past=known.past[: erased[0]],
        decided=known.decided - len(todo),
        replay=RoundReplay(todo, {}, state.index, known.replay.rests_until),
    )


def repeated(state: State, known: LineRounds, outcome: int) -> LineRounds:
    """The rounds of a line after the repetition of the first round that was to be repeated, which led to a version."""
    first, *rest = known.replay.todo
    moved = {**known.replay.moved, first.outcome: outcome}
    if rest:
        return replace(known, replay=replace(known.replay, todo=tuple(rest), moved=moved))
    took = state.index - known.replay.began
    return replace(known, replay=RoundReplay(rests_until=state.index + took))


def decided(state: State, rule: TrainingRule, known: LineRounds, current: OpenRound, over: ClosedRound) -> LineRounds:
    """The rounds of a line after one was decided. Lines that replay remember it."""
    outcome = over.base if over.version < 0 else over.version
    if rule.erasure_policy == REPLAY:
        known = replace(known, past=(*known.past, _past(known, current, over, outcome)))
    after = replace(known, decided=known.decided + 1)
    return after if current.repeats is None else repeated(state, after, outcome)


def _past(known: LineRounds, current: OpenRound, over: ClosedRound, outcome: int) -> RepeatableRound:
    uses = {
        note.row.author: PastUse(note.dataset, current.updates[note.row.author].position)
        for note in over.contributions
        if note.row.finding is UpdateFinding.RIGHT
    }
    drawn = (current.seed_number, current.beacon, current.drawn)
    return RepeatableRound(*drawn, over.base, outcome, uses, left_out_of(known, current).intersection(uses))


def without_recalled(notes: LineNotes, known: LineRounds) -> LineRounds:
    """The rounds of a line without those that led to recalled versions: a repetition would bring these back.

    One that is being repeated goes on to its end.
    """
    if not known.past and not known.replay.todo:
        return known
    current = known.open
    again = 0 if current is None or current.repeats is None else current.repeats.number
    past = tuple(each for each in known.past if not is_recalled(notes, each.outcome))
    waiting = known.replay.todo
    todo = tuple(each for each in waiting if each.number == again or not is_recalled(notes, each.outcome))
    return replace(known, past=past, replay=replace(known.replay, todo=todo))


# ---------------------------------------------------------------- bases and versions


def base_of(rule: TrainingRule, known: LineRounds, notes: LineNotes) -> int:
    """The base of the next round: the newest version that is not recalled and was not replaced by a replay."""
    if rule.erasure_policy != REPLAY:
        return newest_number(notes)
    standing = {past.outcome for past in known.past}
    versions = (each for each in notes.versions if not each.is_recalled)
    return max((each.number for each in versions if not each.is_trained or each.number in standing), default=0)


def base_again(replay: RoundReplay, past: RepeatableRound) -> int:
    """The base of a repetition: what the repetition of the round led to that led to the original base."""
    return replay.moved.get(past.base, past.base)


def is_recalled(notes: LineNotes, number: int) -> bool:
    """Whether a version that the state knows is recalled."""
    version = find_version(notes, number)
    return version is not None and version.is_recalled


def same_version(network: Network, state: State, index: int, manifest: bytes) -> int | None:
    """The version of a line with this manifest (digest, 32 B), which a repetition has made again; None without one.

    It is tainted no more.
    """
    notes = notes_of(network, state, index)
    number = number_of(network.lines[index], notes, manifest)
    if number is None or is_recalled(notes, number):
        return None
    versions = tuple(replace(each, erased_epoch=-1) if each.number == number else each for each in notes.versions)
    state.lines[index] = replace(notes, versions=versions)
    return number
