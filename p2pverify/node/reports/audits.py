"""The newest audits and the disputes, as reports for people. Their effects are decided in the fold, not here."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.compare import Verdict
from p2pverify.core.inference.question import Opening, Receipt
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import Audit, audit_of
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import Report, report_of
from p2pverify.core.roles.context import Context
from p2pverify.core.state.lines.versions import contract_of
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts import cross_class
from p2pverify.core.state.verdicts.duties import find_fault
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.node.ports import UnknownAudit
from p2pverify.node.reports.disputes import any_dispute, contract_told
from p2pverify.node.reports.documents.audits import AskedPeerDocument, AuditDocument, AuditStatus, DisputeDocument

#: Whether the decision of a dispute is this node's own result; None if it has none.
Finding = Callable[[DisputeKey], bool | None]
AUDITS_KEPT = 2048
TAIL_RECORDS_MAX = 512  # of an author's log, read when the author is first seen
CLOSED_KEPT = 4096
REPORTS_KEPT = 512
DISPUTES_KEPT = 256  # complete, with their votes, after the fold has dropped them
#: The common prefix of peer ids of Ed25519 keys, and the length of a short name after it, in characters.
_ID_START, _SHORT_CHARS = "12D3KooW", 8
_NAME = re.compile(r"e(\d{1,13})-(\d{1,3})-([1-9A-HJ-NP-Za-km-z]{1,64})", re.ASCII)
_LISTED = 5


def audit_name(key: DisputeKey) -> str:
    """A short name of an audit: epoch, slot, and 8 characters of its challenger's peer id after the common prefix."""
    return f"e{key.epoch}-{key.slot}-{peer_id(key.challenger)[len(_ID_START) :][:_SHORT_CHARS]}"


class AuditLog:
    """An index of recent audits that grows with the ledger, and the outcomes of disputes seen since the start."""

    def __init__(self, context: Context, finding: Finding = lambda _key: None) -> None:
        self._context = context
        self._finding = finding
        self._next_seq: dict[bytes, int] = {}
        self._audits: dict[DisputeKey, Audit] = {}
        self._reports: BoundedDict[DisputeKey, Report] = BoundedDict(REPORTS_KEPT)
        self._duties: dict[tuple[bytes, int], tuple[Duty, int]] = {}
        self._outcomes: BoundedDict[DisputeKey, AuditStatus] = BoundedDict(CLOSED_KEPT)
        self._disputes: BoundedDict[DisputeKey, Dispute] = BoundedDict(DISPUTES_KEPT)

    def note_final(self) -> None:
        """Remember the state of each dispute in the newest final state, because a later state may have dropped it."""
        for key, dispute in self._context.fold.latest.disputes.items():
            self._outcomes[key] = "undecided" if dispute.decision is None else "decided"
            self._disputes[key] = dispute

    def audits(self, limit: int) -> list[AuditDocument]:
        """The newest audits first."""
        self._catch_up()
        newest = sorted(self._audits.values(), key=lambda audit: audit.key.sort_key(), reverse=True)
        return [self.told(audit) for audit in newest[:limit]]

    def disputes(self) -> list[DisputeDocument]:
        """The disputes of the newest final state, newest first."""
        state = self._context.fold.latest
        keys = sorted(state.disputes, key=lambda key: key.sort_key(), reverse=True)
        return [self._listed(state.disputes[key]) for key in keys]

    def _listed(self, dispute: Dispute) -> DisputeDocument:
        is_own = None if dispute.decision is None else self._finding(dispute.key)
        rerun: Literal["confirmed", "refuted"] | None = None if is_own is None else "confirmed" if is_own else "refuted"
        context = self._context
        told = any_dispute(contract_told(context.network, context.fold.latest, dispute), dispute)
        return DisputeDocument(id=audit_name(dispute.key), **vars(told), rerun=rerun)

    def find(self, name: str) -> Audit:
        """The audit with this name, in which the challenger's peer id may be shortened. Raises UnknownAudit."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise UnknownAudit("an audit is named like e12-3-SP57aGZQ: epoch, slot, challenger; 'audits' lists them")
        self._catch_up()
        known = {**self._audits, **{key: report.audit for key, report in self._reports.items()}}
        epoch, slot, challenger = int(found[1]), int(found[2]), found[3]
        ids = (challenger, _ID_START + challenger)
        fitting = [
            audit
            for key, audit in known.items()
            if (key.epoch, key.slot) == (epoch, slot) and peer_id(key.challenger).startswith(ids)
        ]
        if not fitting:
            raise UnknownAudit(f"this node knows no audit {name}: it keeps the newest {AUDITS_KEPT}")
        if len(fitting) > 1:
            names = sorted(f"e{epoch}-{slot}-{peer_id(audit.challenger)}" for audit in fitting)
            raise UnknownAudit(f"{name} can be any of {', '.join(names[:_LISTED])}")
        return fitting[0]

    def duty(self, audit: Audit) -> Duty | None:
        """The duty record that opens an audit, if this node has it."""
        return self._duties.get((audit.challenger, audit.epoch), (None, 0))[0]

    def report(self, key: DisputeKey) -> Report | None:
        """The report with this key, if it is one and this node has it."""
        return self._reports.get(key)

    def dispute(self, key: DisputeKey) -> Dispute | None:
        """A dispute, from the newest final state or from the last state that had it."""
        return self._context.fold.latest.disputes.get(key) or self._disputes.get(key)

    def told(self, audit: Audit) -> AuditDocument:
        """An audit's entry in a list."""
        return AuditDocument(
            id=audit_name(audit.key),
            challenger=peer_id(audit.challenger),
            epoch=audit.epoch,
            slot=audit.slot,
            across=audit.is_across,
            differ=audit.differ,
            asked=tuple(
                AskedPeerDocument(peer_id=peer_id(asked.responder), answered=asked.receipt is not None)
                for asked in audit.asked
            ),
            status=self._status(audit, self._context.fold.latest),
        )

    # ------------------------------------------------------------ the index

    def _catch_up(self) -> None:
        ledger = self._context.ledger
        for author, seq, _ in ledger.heads():
            start = self._next_seq.get(author, max(0, seq + 1 - TAIL_RECORDS_MAX))
            for record in ledger.chain_from(author, start):
                if record.kind == Kind.AUDIT:
                    audit = audit_of(record)
                    self._audits.setdefault(audit.key, audit)
                elif record.kind == Kind.REPORT:
                    report = report_of(record)
                    self._reports.setdefault(report.audit.key, report)
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

    def _status(self, audit: Audit, state: State) -> AuditStatus:
        dispute = state.disputes.get(audit.key)
        if dispute is not None:
            return "disputed" if dispute.decision is None else "decided"
        if audit.is_report:
            report = self._reports.get(audit.key)
            is_digest = report is not None and report.output is not None  # no dispute can open
            return self._outcomes.get(audit.key, "closed" if is_digest else "waiting")
        duty, seq = self._duties.get((audit.challenger, audit.epoch), (None, 0))
        head = state.heads.get(audit.challenger)
        if duty is None or head is None or head[1] < seq:
            return "waiting"
        if all(asked.receipt is None for asked in audit.asked):
            return "unanswered"
        if audit.differ or audit.key in self._outcomes:  # a spot check has an outcome even if all answers agree
            return self._outcomes.get(audit.key, "closed")
        opening = next((opening for opening in duty.openings if opening.slot == audit.slot), None)
        return "void" if opening is None else self._status_opened(audit, opening, state)

    def _status_opened(self, audit: Audit, opening: Opening, state: State) -> AuditStatus:
        """The status of an undisputed audit, from its opening, by the rules of the fold."""
        context = self._context
        anchor = state.past_of(audit.anchor) or state
        is_known = audit.challenger in anchor.members
        network = contract_of(context.network, anchor, audit.challenger) if is_known else context.network
        receipts = [asked.receipt for asked in audit.asked if asked.receipt is not None]
        if audit.is_across and not all(_is_judged(network.classes, receipt.class_index) for receipt in receipts):
            return "void"
        class_index = _class_when_asked(state, audit, receipts)
        if find_fault(network, context.network_id, class_index, audit, opening) is not None:
            return "void"
        if not audit.is_across:
            return "agreed"
        found = {one.verdict for one in cross_class.verdicts(network, audit.asked, opening.measures)}
        return "inconclusive" if Verdict.INCONCLUSIVE in found else "agreed"


def _is_judged(classes: Sequence[DeterminismClass], index: int) -> bool:
    return index < len(classes) and classes[index].across is not None


def _class_when_asked(state: State, audit: Audit, receipts: Sequence[Receipt]) -> int:
    """The challenger's class at the time of an audit. A challenger that has rejoined since may be in another class."""
    member = state.members.get(audit.challenger)
    if member is not None and member.joined_epoch <= audit.epoch:
        return member.class_index
    return receipts[0].class_index
