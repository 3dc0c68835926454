"""The stages of a dispute: whose lots are drawn, who may seal and open an answer, and what the answers decide.

`committee` has the numbers; here they are applied to a dispute at a cut. A stage that settles nothing gives way to the
next, in the last of which everybody votes. What follows from a decision is left to `disputes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from p2pverify.core.records import lots
from p2pverify.core.records.lots import EVERYONE, Lot, lot_output
from p2pverify.core.state.state import Dispute, Sealed, State
from p2pverify.core.state.transition import Transition

#: For at most so many cuts after a stage began, or after its lots could be drawn, answers can be sealed.
SEAL_CUTS = 3
#: A seat that was not opened in so many cuts after the sealing was closed is empty.
SEAT_CUTS = 2


def begin(dispute: Dispute) -> Dispute:
    """The dispute in its first stage."""
    stage = lots.first_stage(len(dispute.electorate), len(voters(dispute)))
    return replace(dispute, stage=stage, stage_index=dispute.opened_index)


def voters(dispute: Dispute) -> frozenset[bytes]:
    """Who could be drawn for a committee: of the electorate, no party to the dispute, and has not sealed an answer."""
    return dispute.electorate - dispute.audit.parties - dispute.commits.keys()


def draw(step: Transition) -> None:
    """Give the committees of stages that began with the cut before this one their beacon."""
    state = step.state
    for key, dispute in sorted(state.disputes.items(), key=lambda item: item[0].sort_key()):
        is_due = dispute.stage != EVERYONE and not dispute.beacon and state.index > dispute.stage_index
        if is_due and dispute.decision is None:
            state.disputes[key] = replace(dispute, beacon=state.beacon, voters=len(voters(dispute)))


def refuse_lot(step: Transition, dispute: Dispute, voter: bytes, lot: Lot | None) -> str | None:
    """Why a sealed answer is not one of the stage, or None."""
    if dispute.stage == EVERYONE:
        return None if lot is None else "a lot where everybody votes"
    if lot is None:
        return "no lot where a committee votes"
    if (lot.stage, lot.beacon) != (dispute.stage, dispute.beacon):
        return "lot for another committee"
    if voter in dispute.audit.parties:
        return "lot of a party to the dispute"
    member = step.state.members[voter]
    if member.vrf_key != lot.vrf_key or member.joined_index > dispute.opened_index:
        return "lot by another key"
    is_drawn = lots.is_drawn(_output(step, dispute, lot), dispute.stage, dispute.voters)
    return None if is_drawn else "lot was not drawn"


def count_commit(step: Transition, dispute: Dispute, voter: bytes, sealed: Sealed, lot: Lot | None) -> Dispute:
    """The dispute with an answer more, sealed in this stage."""
    drawn = dispute.lots if lot is None else {**dispute.lots, voter: _output(step, dispute, lot)}
    return replace(dispute, commits={**dispute.commits, voter: sealed}, lots=drawn)


def _output(step: Transition, dispute: Dispute, lot: Lot) -> bytes:
    beta = lot_output(step.network_id, dispute.key, lot)
    assert beta is not None  # the record was judged
    return beta


def close_sealing(step: Transition) -> None:
    """Close the sealing where enough answers are sealed, or time is over; then a committee's seats are taken.

    A committee's is not closed early: else whoever proposes the first cut could choose whose lots it holds.
    """
    state = step.state
    for key, dispute in sorted(state.disputes.items(), key=lambda item: item[0].sort_key()):
        if dispute.sealed_index >= 0 or state.index == dispute.stage_index:
            continue
        sealed = len(dispute.commits) + 1  # the challenger's answer is in its nonces
        is_enough = dispute.stage == EVERYONE and 3 * sealed >= 2 * len(dispute.electorate)
        if state.index < last_sealing_index(dispute) and not is_enough:
            continue
        seats = frozenset() if dispute.stage == EVERYONE else lots.take_seats(dispute.lots, dispute.stage)
        first = state.index if dispute.closed_index < 0 else dispute.closed_index
        state.disputes[key] = replace(dispute, sealed_index=state.index, closed_index=first, seats=seats)


def last_sealing_index(dispute: Dispute) -> int:
    """The path index of the cut that closes the sealing at the latest. A committee's lots take a cut to be drawn."""
    return dispute.stage_index + SEAL_CUTS + (dispute.stage != EVERYONE)


def may_open(dispute: Dispute, voter: bytes) -> bool:
    """Whether a voter that has sealed its answer may open it at this state of the dispute."""
    if voter == dispute.audit.challenger:
        return dispute.closed_index >= 0
    has_turn = dispute.stage == EVERYONE or voter in dispute.seats
    return voter in dispute.heard or (has_turn and dispute.sealed_index >= 0)


def is_informed(dispute: Dispute, stage: int) -> bool:
    """Whether others have opened their answers before those of a stage are sealed: in any but the first."""
    return stage > lots.first_stage(len(dispute.electorate), len(dispute.electorate - dispute.audit.parties))


def tally(step: Transition, dispute: Dispute) -> Dispute:
    """The dispute decided, in its next stage, or as it is."""
    if dispute.stage == EVERYONE:
        found = _count(dispute, dispute.electorate)
        most = _most(found)
        is_decided = 2 * most > len(dispute.electorate)
    elif dispute.sealed_index < 0:
        return dispute
    else:
        found = _count(dispute, dispute.seats)
        most = _most(found)
        is_decided = lots.decides(dispute.stage, most)
    if is_decided:
        output = min(each for each, equal in found.items() if equal.total == most)
        return replace(dispute, decision=output, shown=found[output].shown)
    if dispute.stage == EVERYONE:
        return dispute
    return _go_on(step.state, dispute, [equal.total for equal in found.values()])


@dataclass(frozen=True, slots=True)
class _Equal:
    """How many gave an output by equal work, and by which, for stages in which most showed the same."""

    total: int
    shown: Mapping[int, bytes]


def _most(found: Mapping[bytes, _Equal]) -> int:
    return max((equal.total for equal in found.values()), default=0)


def _count(dispute: Dispute, of: frozenset[bytes]) -> dict[bytes, _Equal]:
    """What these voters have opened, by output. Of those who had to show their work in a stage, the largest group that
    shows the same counts; of all others each one.
    """
    groups: dict[bytes, dict[int, dict[bytes | None, int]]] = {}
    for voter in sorted(of & dispute.votes.keys()):
        vote = dispute.votes[voter]
        stage = dispute.commits[voter].stage if voter in dispute.commits else 0  # the challenger's is in its audit
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
    """Whether a voter showed other work than most of its stage, whose output was decided on."""
    shown = dispute.votes[voter].shown
    if shown is None:
        return False
    return dispute.shown.get(dispute.commits[voter].stage, shown) != shown


def has_lost(dispute: Dispute, voter: bytes) -> bool:
    """Whether a voter voted for something else than was decided, or has copied that."""
    return dispute.votes[voter].output != dispute.decision or has_copied(dispute, voter)


def _go_on(state: State, dispute: Dispute, counts: list[int]) -> Dispute:
    """The next stage, if the committee can decide nothing any more."""
    is_open = dispute.seats and state.index - dispute.sealed_index < SEAT_CUTS
    if is_open and lots.may_still_decide(dispute.stage, counts):
        return dispute
    state.count(f"committees of stage {dispute.stage} without a decision")
    return replace(
        dispute,
        stage=lots.next_stage(dispute.stage, len(voters(dispute))),
        stage_index=state.index,
        sealed_index=-1,
        beacon=b"",
        lots={},
        seats=frozenset(),
        heard=dispute.heard | dispute.seats,
    )
