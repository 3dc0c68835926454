"""The rounds of a dispute: the draw of lots, who may seal and open an answer, and what the answers decide.

`lots` defines the numbers of each stage. This module applies them to a dispute at a cut. A dispute is in one round at a
time, and a round is in one phase. Each change comes with a cut:

| phase   | event at the cut                                          | next                   | function        |
|---------|-----------------------------------------------------------|------------------------|-----------------|
| none    | the dispute opens; a small electorate votes at once       | SEALING, of everybody  | `first_round`   |
| none    | the dispute opens; a large electorate begins by committee | DRAWING                | `first_round`   |
| DRAWING | the beacon: it is the first cut after the round began     | SEALING, by committee  | `draw`          |
| SEALING | enough seals where everybody votes, or the time is over   | OPENING                | `close_sealing` |
| OPENING | the committee can no longer decide                        | a round of later stage | `tally`         |
| OPENING | an appeal against the decision of a committee             | SEALING, of everybody  | `appeal`        |
| any     | the deadline of the dispute is over                       | the dispute is closed  | `decide`        |

A decision is no phase, because the round goes on: seals and openings that come later are still taken. A committee
decides while it is OPENING. A vote of everybody can decide earlier, because the openings of earlier rounds count as
well. After a decision only an appeal begins a round. `disputes` settles the decision, and applies the deadline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.lots import EVERYONE, Lot, lot_output
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.verdicts.notes import Dispute, Round, RoundPhase, Sealed

#: Answers can be sealed for at most this many cuts after a round began, or after its lots could be drawn.
SEAL_CUTS = 3
#: A seat is empty if its voter opens no answer within this many cuts after the sealing closed.
SEAT_CUTS = 2


def first_round(audit: Audit, electorate: frozenset[bytes], index: int) -> Round:
    """The round in which a dispute opens."""
    return _begin(_first_stage(audit, electorate), index)


def _first_stage(audit: Audit, electorate: frozenset[bytes]) -> int:
    if audit.is_report:
        return EVERYONE
    return lots.first_stage(len(electorate), len(electorate - audit.parties))


def _begin(stage: int, index: int, voters_before: int = 0) -> Round:
    """A round at its first cut. It keeps the number of voters at the previous draw, because views show it."""
    return Round(stage, index, RoundPhase.SEALING if stage == EVERYONE else RoundPhase.DRAWING, voters=voters_before)


def voters(dispute: Dispute) -> frozenset[bytes]:
    """The electorate that could be drawn for a committee: not a party to the dispute, and without a sealed answer."""
    return dispute.electorate - dispute.audit.parties - dispute.commits.keys()


def draw(step: Transition) -> None:
    """Give a beacon to the committees whose rounds began with the cut before this one."""
    state = step.state
    for key, dispute in sorted(state.disputes.items(), key=lambda item: item[0].sort_key()):
        current = dispute.round
        if current.phase is RoundPhase.DRAWING and state.index > current.began_index:
            drawn = replace(current, phase=RoundPhase.SEALING, beacon=state.beacon, voters=len(voters(dispute)))
            state.disputes[key] = replace(dispute, round=drawn)


def refuse_lot(step: Transition, dispute: Dispute, voter: bytes, lot: Lot | None) -> str | None:
    """The reason why a sealed answer does not belong to the round, or None."""
    current = dispute.round
    if not current.is_committee:
        return None if lot is None else "a lot where everybody votes"
    if lot is None:
        return "no lot where a committee votes"
    if (lot.stage, lot.beacon) != (current.stage, current.beacon):
        return "lot for another committee"
    if voter in dispute.audit.parties:
        return "lot of a party to the dispute"
    member = step.state.members[voter]
    if member.vrf_key != lot.vrf_key or member.joined_index > dispute.opened_index:
        return "lot by another key"
    is_drawn = lots.is_drawn(_output(step, dispute, lot), current.stage, current.voters)
    return None if is_drawn else "lot was not drawn"


def count_commit(step: Transition, dispute: Dispute, voter: bytes, sealed: Sealed, lot: Lot | None) -> Dispute:
    """The dispute with one more answer, sealed in this round."""
    current = dispute.round
    if lot is not None:
        current = replace(current, lots={**current.lots, voter: _output(step, dispute, lot)})
    return replace(dispute, commits={**dispute.commits, voter: sealed}, round=current)


def _output(step: Transition, dispute: Dispute, lot: Lot) -> bytes:
    beta = lot_output(step.network_id, dispute.key, lot)
    assert beta is not None  # the record was judged
    return beta


def close_sealing(step: Transition) -> None:
    """Close the sealing of rounds with enough sealed answers or no time left. Then a committee's seats are taken.

    A committee's sealing is not closed early. Otherwise the proposer of the first cut could choose the lots in it.
    """
    state = step.state
    for key, dispute in sorted(state.disputes.items(), key=lambda item: item[0].sort_key()):
        current = dispute.round
        if current.phase is not RoundPhase.SEALING or state.index == current.began_index:
            continue
        # A challenger has sealed its answer with its nonces, a reporter has not.
        sealed = len(dispute.commits) + (not dispute.is_report)
        is_enough = not current.is_committee and 3 * sealed >= 2 * len(dispute.electorate)
        if state.index < last_sealing_index(current) and not is_enough:
            continue
        seats = lots.take_seats(current.lots, current.stage) if current.is_committee else frozenset()
        first = state.index if dispute.closed_index < 0 else dispute.closed_index
        closed = replace(current, phase=RoundPhase.OPENING, sealed_index=state.index, seats=seats)
        state.disputes[key] = replace(dispute, round=closed, closed_index=first)


def last_sealing_index(current: Round) -> int:
    """The path index of the cut that closes the sealing at the latest. A committee needs one more cut for its draw."""
    return current.began_index + SEAL_CUTS + current.is_committee


def may_open(dispute: Dispute, voter: bytes) -> bool:
    """Whether a voter that has sealed its answer may open it in this state of the dispute."""
    if voter == dispute.audit.challenger:
        return dispute.closed_index >= 0
    if dispute.round.phase is not RoundPhase.OPENING:
        return voter in dispute.heard
    return not dispute.round.is_committee or voter in dispute.round.seats or voter in dispute.heard


def is_informed(dispute: Dispute, stage: int) -> bool:
    """Whether voters of this stage seal after others have opened their answers: in every stage but the first."""
    return stage > _first_stage(dispute.audit, dispute.electorate)


def tally(step: Transition, dispute: Dispute) -> Dispute:
    """The dispute after a count: decided, in its next round, or unchanged."""
    current = dispute.round
    if current.is_committee and current.phase is not RoundPhase.OPENING:
        return dispute
    found = _count(dispute, current.seats if current.is_committee else dispute.electorate)
    counts = [equal.total for equal in found.values()]
    most = max(counts, default=0)
    if lots.decides(current.stage, most) if current.is_committee else most >= _majority(dispute):
        output = min(each for each, equal in found.items() if equal.total == most)
        return replace(dispute, decision=output, shown=found[output].shown, decided_index=step.state.index)
    if current.is_committee and not _may_still_decide(current, step.state.index, counts):
        return _go_on(step.state, dispute)
    return dispute


@dataclass(frozen=True, slots=True)
class _Equal:
    """How many voters gave an output by equal work. `shown` is this work, for stages in which most showed the same."""

    total: int
    shown: Mapping[int, bytes]


def _majority(dispute: Dispute) -> int:
    """The equal votes that decide where everybody votes. Drawn seats of a report must be as many as in a committee."""
    count = len(dispute.electorate)
    if dispute.is_report and count == lots.EVERYONE_MAX:
        return lots.COMMITTEES[lots.STAGE_MAX].equal
    return count // 2 + 1


def _count(dispute: Dispute, of: frozenset[bytes]) -> dict[bytes, _Equal]:
    """Count the opened answers of these voters, by output.

    Among voters that had to show their work in a stage, only the largest group with equal work counts. Every other
    voter counts.
    """
    groups: dict[bytes, dict[int, dict[bytes | None, int]]] = {}
    for voter in sorted(of & dispute.votes.keys()):
        vote = dispute.votes[voter]
        stage = dispute.commits[voter].stage if voter in dispute.commits else 0  # the challenger's is in the audit
        alike = groups.setdefault(vote.output, {}).setdefault(stage, {})
        alike[vote.shown] = alike.get(vote.shown, 0) + 1
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


def has_copied(dispute: Dispute, voter: bytes) -> bool:
    """Whether a voter showed other work than most voters of its stage that gave the decided output."""
    shown = dispute.votes[voter].shown
    if shown is None:
        return False
    return dispute.shown.get(dispute.commits[voter].stage, shown) != shown


def has_lost(dispute: Dispute, voter: bytes) -> bool:
    """Whether a voter voted against the decision, or copied it."""
    return dispute.votes[voter].output != dispute.decision or has_copied(dispute, voter)


def _may_still_decide(current: Round, index: int, counts: list[int]) -> bool:
    """Whether the unopened seats of a committee could still bring a decision."""
    is_open = bool(current.seats) and index - current.sealed_index < SEAT_CUTS
    return is_open and lots.may_still_decide(current.stage, counts)


def appeal(state: State, dispute: Dispute) -> Dispute:
    """The dispute in a round of everybody, after an appeal against a committee's decision."""
    state.count("appeals")
    later = _begin(EVERYONE, state.index, dispute.round.voters)
    heard = dispute.heard | dispute.round.seats
    return replace(dispute, round=later, heard=heard, decision=None, decided_index=-1, shown={})


def _go_on(state: State, dispute: Dispute) -> Dispute:
    """The dispute in its next round, after a committee without a decision."""
    current = dispute.round
    state.count(f"committees of stage {current.stage} without a decision")
    later = _begin(lots.next_stage(current.stage, len(voters(dispute))), state.index, current.voters)
    return replace(dispute, round=later, heard=dispute.heard | current.seats)
