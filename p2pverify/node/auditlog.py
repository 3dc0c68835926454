"""The newest audits and the disputes, told for people. What they count for is decided in the fold, not here."""

from collections.abc import Iterator

from p2pverify.core.audit import UNDERIVABLE, Audit, Duty, decode_duty
from p2pverify.core.context import Context
from p2pverify.core.peerid import peer_id
from p2pverify.core.records import DisputeKey, Kind
from p2pverify.core.rules import audit_of
from p2pverify.core.state import Dispute, State

AUDITS_KEPT = 2048
TAIL_RECORDS_MAX = 512  # of an author's log, looked at when it is first seen
CLOSED_KEPT = 4096


class AuditLog:
    """An index of recent audits that grows with the ledger, and the outcomes of disputes seen since the start."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._next_seq: dict[bytes, int] = {}
        self._audits: dict[DisputeKey, Audit] = {}
        self._duties: dict[tuple[bytes, int], tuple[Duty, int]] = {}
        self._outcomes: dict[DisputeKey, str] = {}

    def note_final(self) -> None:
        """Remember how the disputes of the newest final state stand; a later state may have dropped them."""
        for key, dispute in self._context.fold.latest.disputes.items():
            self._outcomes.pop(key, None)
            self._outcomes[key] = "undecided" if dispute.decision is None else "decided"
        while len(self._outcomes) > CLOSED_KEPT:
            del self._outcomes[next(iter(self._outcomes))]

    def audits(self, limit: int) -> list[dict[str, object]]:
        """The newest audits first."""
        self._catch_up()
        newest = sorted(self._audits.values(), key=lambda audit: audit.key.sort_key(), reverse=True)
        return [self._audit(audit) for audit in newest[:limit]]

    def disputes(self) -> list[dict[str, object]]:
        """The disputes of the newest final state, newest first."""
        state = self._context.fold.latest
        keys = sorted(state.disputes, key=lambda key: key.sort_key(), reverse=True)
        return [_dispute(state.disputes[key]) for key in keys]

    # ------------------------------------------------------------ the index

    def _catch_up(self) -> None:
        ledger = self._context.ledger
        for author, seq, _ in ledger.heads():
            start = self._next_seq.get(author, max(0, seq + 1 - TAIL_RECORDS_MAX))
            for record in ledger.chain_from(author, start):
                if record.kind == Kind.AUDIT:
                    audit = audit_of(record)
                    self._audits.setdefault(audit.key, audit)
                elif record.kind == Kind.DUTY:
                    duty = decode_duty(record.payload)
                    self._duties.setdefault((author, duty.epoch), (duty, record.seq))
            self._next_seq[author] = seq + 1
        if len(self._audits) > AUDITS_KEPT:
            ordered = sorted(self._audits, key=lambda key: key.sort_key())
            for key in ordered[: len(ordered) - AUDITS_KEPT]:
                del self._audits[key]
            oldest = min(key.epoch for key in self._audits)
            self._duties = {key: found for key, found in self._duties.items() if key[1] >= oldest}

    def _audit(self, audit: Audit) -> dict[str, object]:
        return {
            "challenger": peer_id(audit.challenger),
            "epoch": audit.epoch,
            "slot": audit.slot,
            "differ": audit.differ,
            "asked": [
                {"peer_id": peer_id(asked.responder), "answered": asked.receipt is not None} for asked in audit.asked
            ],
            "status": self._status(audit, self._context.fold.latest),
        }

    def _status(self, audit: Audit, state: State) -> str:
        dispute = state.disputes.get(audit.key)
        if dispute is not None:
            return "disputed" if dispute.decision is None else "decided"
        duty, seq = self._duties.get((audit.challenger, audit.epoch), (None, 0))
        head = state.heads.get(audit.challenger)
        if duty is None or head is None or head[1] < seq:
            return "waiting"
        if all(asked.receipt is None for asked in audit.asked):
            return "unanswered"
        if audit.differ or audit.key in self._outcomes:  # a spot check has an outcome without a difference
            return self._outcomes.get(audit.key, "closed")
        return "agreed" if _agrees(self._context.network_id, audit, duty) else "void"


def _agrees(network_id: bytes, audit: Audit, duty: Duty) -> bool:
    """Whether the duty opens the audit and shows that its answers are equal."""
    for opening in duty.openings:
        if opening.slot == audit.slot and opening.class_index is not None:
            receipts = [asked.receipt for asked in audit.asked if asked.receipt is not None]
            equal = all(audit.matches(receipt, opening.output) for receipt in receipts)
            return equal and audit.opens(network_id, opening)
    return False


def _dispute(dispute: Dispute) -> dict[str, object]:
    decision = dispute.decision
    return {
        "challenger": peer_id(dispute.key.challenger),
        "epoch": dispute.key.epoch,
        "slot": dispute.key.slot,
        "status": "open" if decision is None else "decided",
        "opened_epoch": dispute.opened_epoch,
        "electorate": len(dispute.electorate),
        "commits": len(dispute.commits),
        "votes": len(dispute.votes),
        "decision": None if decision is None else decision.hex(),
        "losers": [] if decision is None else [peer_id(peer) for peer in sorted(set(_losers(dispute)))],
    }


def _losers(dispute: Dispute) -> Iterator[bytes]:
    decision = dispute.decision
    assert decision is not None
    yield from (voter for voter, output in dispute.votes.items() if output != decision)
    if decision == UNDERIVABLE:
        yield dispute.audit.challenger
        return
    for asked in dispute.audit.asked:
        if asked.receipt is not None and not dispute.audit.matches(asked.receipt, decision):
            yield asked.responder
