"""Reports: this peer publishes wrong answers that its clients got, and shows the questions to the seats of disputes.

At most one report is published for each epoch, after the epoch. Which wrong answer it is about was found by the audits
of the node. The question of a private report is sealed to each seat. Protocol pages: protocol/report.md, private.md.
"""

from p2pverify.core.encoding import box
from p2pverify.core.events import Effects, Note, WrongAnswer
from p2pverify.core.inference.question import Question
from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import report_of
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.disputes.boxes import BoxedQuestion, encode_box
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE, encode_shown_question
from p2pverify.core.state.state import State

#: Of prompt and answer together: a longer question is not shown, so it is not reported with its question.
REPORT_TOKENS_MAX = 4096
#: Epochs of which a wrong answer waits for its report, and reports whose questions are kept.
REPORTS_WAITING_MAX = 64
QUESTIONS_KEPT = 64


def can_show(question: Question) -> bool:
    """Whether a question is short enough to be shown to seats."""
    return len(question.prompt) + question.tokens_max <= REPORT_TOKENS_MAX


class Reporter(Part):
    """This peer's reports."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: BoundedDict[int, WrongAnswer] = BoundedDict(REPORTS_WAITING_MAX)  # by epoch of the request
        self._shown: BoundedDict[DisputeKey, WrongAnswer] = BoundedDict(QUESTIONS_KEPT)
        self._reported: dict[int, bytes] = {}  # epoch -> question of the report in the own log, as its audit names it

    def resume(self) -> None:
        """Find the earlier reports in the own log."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.REPORT:
                report = report_of(record)
                self._reported[report.epoch] = report.audit.question

    def take(self, found: WrongAnswer) -> None:
        """Take a wrong answer that the node has found, perhaps again after a restart. One is kept for each epoch."""
        report, audit = found.report, found.said.audit
        reveals = found.said.output is None
        waiting, reported = self._waiting.get(report.epoch), self._reported.get(report.epoch)
        is_next = reported is None and (waiting is None or (reveals and waiting.said.output is not None))
        if is_next:
            self._waiting[report.epoch] = found
        if reveals and (is_next or reported == audit.question):
            self._shown[audit.key] = found

    def show(self, key: DisputeKey, source: bytes) -> bytes:
        """The answer to a peer that asks for the question of an own report: only a seat of its open dispute gets it.

        The question of a private report is in a box that only this seat can open.
        """
        latest = self._context.fold.latest
        dispute, found = latest.disputes.get(key), self._shown.get(key)
        if dispute is None or found is None or found.said.audit.question != dispute.audit.question:
            return NO_EVIDENCE
        if source not in dispute.shown_to:
            return NO_EVIDENCE
        if not found.is_private:
            return encode_shown_question(found.question)
        box_key = latest.members[source].box_key if source in latest.members else None
        return encode_box(None if box_key is None else self._seal(found, source, box_key))

    def _seal(self, found: WrongAnswer, seat: bytes, box_key: bytes) -> bytes | None:
        report = found.report
        boxed = BoxedQuestion(found.question, report.expiry_epoch, report.salt)
        secret = self._context.secret("box", report.receipt.request, seat, box_key)
        return box.seal(boxed.encode(), box_key, secret)

    def tick(self, now_ms: int) -> Effects[None]:
        """Publish what is due. A report that would lapse now waits, until it is too late."""
        context = self._context
        epoch, latest = context.params.epoch_at(now_ms), context.fold.latest
        reach = epoch - context.params.dispute_epochs - context.params.duty_reach
        self._reported = {at: question for at, question in self._reported.items() if at >= reach}
        for at in sorted(self._waiting.keys()):
            found = self._waiting[at]
            if at >= epoch or not context.may_write(now_ms):
                continue
            if epoch - at >= context.params.duty_epochs or at in self._reported or not context.may_sign_of(at):
                del self._waiting[at]
            elif self._may_report(latest, found):
                del self._waiting[at]
                self._reported[at] = found.said.audit.question
                context.counters.count("reports")
                yield Note("warning", f"reports a wrong answer of peer {found.report.responder.hex()[:16]}")
                yield from context.write(Kind.REPORT, found.said.encode(), now_ms)

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When a report can be due, or None."""
        if not self._waiting:
            return None
        params = self._context.params
        return params.epoch_start_ms(params.epoch_at(now_ms) + 1)

    def _may_report(self, latest: State, found: WrongAnswer) -> bool:
        """Whether a report would count now, and could open its dispute."""
        own, accused = latest.members.get(self._context.key), latest.members.get(found.report.responder)
        if own is None or accused is None or not own.may_vote(latest.epoch):
            return False
        parties = found.report.audit.parties
        is_busy = any(d.is_report and not d.has_effect and d.audit.parties & parties for d in latest.disputes.values())
        return accused.active and not accused.is_convicted and not is_busy
