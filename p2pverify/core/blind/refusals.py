"""Why a seal or an opening is not counted. The texts are the names of counters."""

from p2pverify.core.blind import committees, rounds
from p2pverify.core.blind.values import BlindVote, Round, RoundPhase, VoteTurns


def refuse_seal(vote: BlindVote, voter: bytes) -> str | None:
    """The reason why this voter may not seal an answer at this cut, or None."""
    if voter not in (vote.round.seats if vote.round.is_named else vote.electorate):
        return "not of the electorate"
    return "after the sealing was closed" if vote.round.phase is RoundPhase.OPENING else None


def refuse_ticket(current: Round, beta: bytes) -> str | None:
    """The reason why a ticket (64 bytes) is not one of the committee that seals, or None."""
    is_drawn = committees.is_drawn(beta, current.stage, current.voters)
    return None if is_drawn else "lot was not drawn"


def refuse_opening(
    vote: BlindVote, cited: VoteTurns, voter: bytes, head_seq: int, *, is_work_shown: bool
) -> str | None:
    """The reason why this voter may not open its answer yet, or not in this way; None if it may.

    `cited` are the turns at the cut that the opening cites. `head_seq` is the number of the voter's
    newest record in that cut, -1 if there is none.
    """
    sealed = vote.commits.get(voter)
    if sealed is None:
        return "no commit was counted"
    if head_seq < sealed.seq:
        return "certificate does not hold the commit"
    if not rounds.has_turn(vote, cited, voter):
        return "certificate gives it no turn"
    if is_work_shown != rounds.is_informed(vote, sealed.stage):
        return "shows work without need" if is_work_shown else "shows no work"
    return None
