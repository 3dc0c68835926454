"""The rounds of a blind vote: the draw of lots, who may seal and open an answer, and what the answers decide.

`committees` defines the numbers of each stage. This module applies them to a vote at a cut. A vote is in one round at a
time, and a round is in one phase. Each change comes with a cut:

| phase   | event at the cut                                        | next                   | function        |
|---------|---------------------------------------------------------|------------------------|-----------------|
| none    | the vote opens; a small electorate votes at once        | SEALING, of everybody  | `begin`         |
| none    | the vote opens; a large electorate begins by committee  | DRAWING                | `begin`         |
| none    | the vote opens; the seats of a committee are named      | SEALING, by committee  | `begin`         |
| DRAWING | the beacon: it is the first cut after the round began   | SEALING, by committee  | `draw`          |
| SEALING | enough seals where everybody votes, or the time is over | OPENING                | `close_sealing` |
| OPENING | the committee can no longer decide                      | a round of later stage | `go_on`         |
| OPENING | an appeal against the decision of a committee           | SEALING, of everybody  | `appeal`        |

A decision is no phase, because the round goes on: seals and openings that come later are still taken. A committee
decides while it is OPENING. A vote of everybody can decide earlier, because the openings of earlier rounds count as
well. After a decision only an appeal begins a round. The kinds of votes settle decisions, and have their deadlines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from p2pverify.core.blind import committees
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.values import BlindVote, Round, RoundPhase, Sealed, VoteTurns

#: Answers can be sealed for at most this many cuts after a round began, or after its lots could be drawn.
SEAL_CUTS = 3
#: A seat is empty if its voter opens no answer within this many cuts after the sealing closed.
SEAT_CUTS = 2

V = TypeVar("V", bound=BlindVote)


def begin(stage: int, index: int, voters_before: int = 0, seats: frozenset[bytes] = frozenset()) -> Round:
    """A round at its first cut. It keeps the number of voters at the previous draw, because views show it.

    A committee with `seats` is named; any other one is drawn by lot.
    """
    is_drawing = stage != EVERYONE and not seats
    return Round(
        stage, index, RoundPhase.DRAWING if is_drawing else RoundPhase.SEALING, voters=voters_before, seats=seats
    )


def voters(vote: BlindVote) -> frozenset[bytes]:
    """The electorate that could be drawn for a committee: not a party to the question, and without a sealed answer."""
    return vote.electorate - vote.parties - vote.commits.keys()


def draw(vote: V, index: int, beacon: bytes) -> V:
    """The vote at a cut; its committee has the beacon of this cut if its round began with the cut before."""
    current = vote.round
    if current.phase is not RoundPhase.DRAWING or index <= current.began_index:
        return vote
    drawn = replace(current, phase=RoundPhase.SEALING, beacon=beacon, voters=len(voters(vote)))
    return replace(vote, round=drawn)


def stage_without_lot(vote: BlindVote) -> int:
    """The stage in which an answer is sealed without a lot: that of a named committee, or the one of everybody."""
    return vote.round.stage if vote.round.is_named else EVERYONE


def count_seal(vote: V, voter: bytes, sealed: Sealed, beta: bytes | None) -> V:
    """The vote with one more answer, sealed in this round. `beta` is the VRF output of a lot for a committee."""
    current = vote.round
    if beta is not None:
        current = replace(current, lots={**current.lots, voter: beta})
    return replace(vote, commits={**vote.commits, voter: sealed}, round=current)


def close_sealing(vote: V, index: int, seal_cuts: int = SEAL_CUTS) -> V:
    """The vote at a cut; its sealing is closed if enough answers are sealed or `seal_cuts` are over.

    Then a committee's seats are taken. The sealing of a committee by lot is not closed early. Otherwise the proposer of
    the first cut could choose the lots in it.
    """
    current = vote.round
    if current.phase is not RoundPhase.SEALING or index == current.began_index:
        return vote
    if index < last_sealing_index(current, seal_cuts) and not _is_sealed(vote):
        return vote
    seats = committees.take_seats(current.lots, current.stage) if current.is_by_lot else current.seats
    first = index if vote.closed_index < 0 else vote.closed_index
    closed = replace(current, phase=RoundPhase.OPENING, sealed_index=index, seats=seats)
    return replace(vote, round=closed, closed_index=first)


def _is_sealed(vote: BlindVote) -> bool:
    """Whether the sealing need not wait for more answers: all named seats sealed one, or as many as can decide."""
    if vote.round.is_committee:
        return vote.round.is_named and vote.round.seats <= vote.commits.keys()
    wanted = max(-(-2 * len(vote.electorate) // 3), vote.quorum)
    return len(vote.commits) + len(vote.sealed_before) >= wanted


def last_sealing_index(current: Round, seal_cuts: int = SEAL_CUTS) -> int:
    """The path index of the cut that closes the sealing at the latest. A draw of lots needs one more cut."""
    return current.began_index + seal_cuts + current.is_by_lot


def turns_of(vote: BlindVote) -> VoteTurns:
    """Who may open its answer in this state of the vote, if it has sealed one."""
    is_closed, current = vote.closed_index >= 0, vote.round
    if current.phase is not RoundPhase.OPENING:
        return VoteTurns(is_closed, voters=vote.heard)
    if not current.is_committee:
        return VoteTurns(is_closed, everybody=True)
    return VoteTurns(is_closed, voters=current.seats | vote.heard)


def has_turn(vote: BlindVote, turns: VoteTurns, voter: bytes) -> bool:
    """Whether a voter that has sealed its answer may open it, by the turns in some state of the vote."""
    if voter in vote.sealed_before:
        return turns.is_closed
    return turns.everybody or voter in turns.voters


def may_open(vote: BlindVote, voter: bytes) -> bool:
    """Whether a voter that has sealed its answer may open it in this state of the vote."""
    return has_turn(vote, turns_of(vote), voter)


def is_informed(vote: BlindVote, stage: int) -> bool:
    """Whether voters of this stage seal after others have opened their answers: in every stage but the first."""
    return stage > vote.first_stage


def tally(vote: V, index: int) -> V:
    """The vote after a count of the opened answers: decided, or unchanged."""
    current = vote.round
    if current.is_committee and current.phase is not RoundPhase.OPENING:
        return vote
    found = _count(vote, _counted(vote))
    most = max((equal.total for equal in found.values()), default=0)
    if committees.decides(current.stage, most) if current.is_committee else most >= vote.quorum:
        output = min(each for each, equal in found.items() if equal.total == most)
        return replace(vote, decision=output, shown=found[output].shown, decided_index=index)
    return vote


def is_stuck(vote: BlindVote, index: int) -> bool:
    """Whether the unopened seats of an undecided committee can bring no decision any more."""
    current = vote.round
    if not current.is_committee or current.phase is not RoundPhase.OPENING or vote.decision is not None:
        return False
    sealed = len(current.seats & vote.commits.keys())
    if not committees.decides(current.stage, sealed) or index - current.sealed_index >= SEAT_CUTS:
        return True
    counts = [equal.total for equal in _count(vote, _counted(vote)).values()]
    return not committees.may_still_decide(current.stage, counts)


def go_on(vote: V, index: int) -> V:
    """The vote in its next round, after a committee without a decision."""
    current = vote.round
    later = begin(committees.next_stage(current.stage, len(voters(vote))), index, current.voters)
    return replace(vote, round=later, heard=vote.heard | current.seats)


def appeal(vote: V, index: int) -> V:
    """The vote in a round of everybody, after an appeal against a committee's decision."""
    later = begin(EVERYONE, index, vote.round.voters)
    heard = vote.heard | vote.round.seats
    return replace(vote, round=later, heard=heard, decision=None, decided_index=-1, shown={})


def has_lost(vote: BlindVote, voter: bytes) -> bool:
    """Whether a voter voted against the decision, or copied it."""
    return vote.votes[voter].output != vote.decision or _has_copied(vote, voter)


def losers(vote: BlindVote) -> set[bytes]:
    """The voters that voted against the decision, or copied it."""
    return {voter for voter in vote.votes if has_lost(vote, voter)}


def winners(vote: BlindVote) -> set[bytes]:
    """The voters that gave the decision by work of their own."""
    return set(vote.votes) - losers(vote)


def unopened(vote: BlindVote, index: int) -> list[bytes]:
    """The voters that sealed an answer, could have opened it, and did not; sorted."""
    if index - max(vote.closed_index, vote.round.sealed_index) < 2:
        return []  # there was no certified cut in between, so nobody could open an answer
    sealed, turns = vote.commits.keys() | vote.sealed_before, turns_of(vote)
    return sorted(voter for voter in sealed - vote.votes.keys() if has_turn(vote, turns, voter))


def _counted(vote: BlindVote) -> frozenset[bytes]:
    return vote.round.seats if vote.round.is_committee else vote.electorate


@dataclass(frozen=True, slots=True)
class _Equal:
    """How many voters gave an output by equal work. `shown` is this work, for stages in which most showed the same."""

    total: int
    shown: Mapping[int, bytes]


def _count(vote: BlindVote, of: frozenset[bytes]) -> dict[bytes, _Equal]:
    """Count the opened answers of these voters, by output.

    Among voters that had to show their work in a stage, only the largest group with equal work counts. Every other
    voter counts.
    """
    groups: dict[bytes, dict[int, dict[bytes | None, int]]] = {}
    for voter in sorted(of & vote.votes.keys()):
        opened = vote.votes[voter]
        stage = vote.commits[voter].stage if voter in vote.commits else 0  # it was sealed before the vote
        alike = groups.setdefault(opened.output, {}).setdefault(stage, {})
        alike[opened.shown] = alike.get(opened.shown, 0) + 1
    return {output: _equal(by_stage) for output, by_stage in groups.items()}


def _equal(by_stage: dict[int, dict[bytes | None, int]]) -> _Equal:
    total = 0
    shown: dict[int, bytes] = {}
    for stage, alike in by_stage.items():
        count = max(alike.values())
        total += count
        for each, votes in alike.items():
            if each is not None and 2 * votes > sum(alike.values()):
                shown[stage] = each
    return _Equal(total, shown)


def _has_copied(vote: BlindVote, voter: bytes) -> bool:
    """Whether a voter showed other work than most voters of its stage that gave the decided output."""
    shown = vote.votes[voter].shown
    if shown is None:
        return False
    return vote.shown.get(vote.commits[voter].stage, shown) != shown
