"""This peer's own result for disputed questions.

Within a class it derives the question from the challenger's duty and answers it. Across classes it derives the
question, fetches the disputed answers, and has the referee measure them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Network, Params
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import digest
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Computed, ComputeFailed, Effects, Note, ResponseArrived
from p2pverify.core.inference.compare import Measures, verdict_digest
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.roles import referee
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.disputes.boxes import NOT_SHOWN, open_box
from p2pverify.core.roles.disputes.evidence import EvidenceBox, decode_shown_question, encode_evidence_request
from p2pverify.core.roles.disputes.evidence_fetch import Fetcher, Outputs
from p2pverify.core.roles.disputes.reporter import can_show
from p2pverify.core.roles.responder import Responder
from p2pverify.core.roles.slot_plan import derive, slot_question
from p2pverify.core.state.lines.versions import contract_about
from p2pverify.core.state.verdicts.derive import owed_slot
from p2pverify.core.state.verdicts.notes import Dispute

#: A failed job is tried again after this share of an epoch, in thousandths.
RETRY_PERMILLE = 500


@dataclass(frozen=True, slots=True)
class Result:
    """A result for a disputed question. `digest` covers the part that is never published."""

    output: bytes
    measures: Measures
    digest: bytes


ResultDone = Callable[[Result | ComputeFailed | str, int], Effects[None]]


class DisputeWork:
    """Computes results, and remembers them while their dispute is open."""

    def __init__(self, context: Context, responder: Responder, evidence: EvidenceBox) -> None:
        self._context = context
        self._responder = responder
        self._fetcher = Fetcher(context, responder, evidence)
        self._results: dict[DisputeKey, Result | None] = {}  # None: in work, or there is nothing to compute
        self._retry_at: dict[DisputeKey, int] = {}

    def known(self, key: DisputeKey) -> Result | None:
        return self._results.get(key)

    def start(self, dispute: Dispute, deadline_ms: int, now_ms: int) -> Effects[Result | None]:
        """The result for a dispute. None if it is not there yet: then the work has begun, or is tried again later."""
        key = dispute.key
        if key in self._results or now_ms < self._retry_at.get(key, now_ms):
            return self._results.get(key)
        self._results[key] = None
        if key.challenger == self._context.key:
            return None

        def done(found: Result | ComputeFailed | str, later_ms: int) -> Effects[None]:
            if isinstance(found, Result):
                self._results[key] = found
            else:
                yield from self._failed(key, found, later_ms)

        known = self._responder.known_output(key.challenger, dispute.audit.question)
        yield from self._compute(dispute, known, deadline_ms, done)
        return self._results.get(key)

    def again(self, dispute: Dispute, deadline_ms: int, done: ResultDone) -> Effects[None]:
        """Compute a result once more from the beginning; `done` gets it."""
        yield from self._compute(dispute, None, deadline_ms, done)

    def forget(self, before_epoch: int) -> None:
        """Forget disputes over slots of earlier epochs."""
        for key in [k for k in (*self._results, *self._retry_at) if k.epoch < before_epoch]:
            self._results.pop(key, None)
            self._retry_at.pop(key, None)

    def next_wake_ms(self, now_ms: int) -> int | None:
        """When to try again after a failure, or None."""
        return min((at for at in self._retry_at.values() if at > now_ms), default=None)

    def _failed(self, key: DisputeKey, why: ComputeFailed | str, now_ms: int) -> Effects[None]:
        """There is no vote without a result; it is tried again later. Dropped jobs are reported elsewhere."""
        self._results.pop(key, None)
        self._retry_at[key] = now_ms + self._context.params.epoch_ms * RETRY_PERMILLE // 1000
        if isinstance(why, str):
            yield Note("warning", f"cannot vote: {why}")
        elif not why.is_dropped:
            yield Note("warning", f"cannot vote: {why.reason}")

    # ------------------------------------------------------------ computing

    def _compute(self, dispute: Dispute, known: Output | None, deadline_ms: int, done: ResultDone) -> Effects[None]:
        """Derive the question and answer it in one job, while the engine holds the prompt.

        A question with a `known` answer of this peer is only derived.
        """
        if dispute.is_report:
            yield from self._answer_shown(dispute, known, deadline_ms, done)
            return
        key, contract = dispute.key, self._contract(dispute)
        slot, params = self._slot(dispute, contract.params), contract.params
        if slot is None:
            return
        if dispute.is_across and not self._context.fold.following.can_judge(contract):
            yield from done(referee.NO_REFEREE, deadline_ms)
            return
        first = slot_question(self._context, contract, slot, (), key.challenger)

        def derived(event: Computed | ComputeFailed, later_ms: int) -> Effects[None]:
            if isinstance(event, ComputeFailed):
                yield from done(event, later_ms)
                return
            question = slot_question(self._context, contract, slot, event.prompt, key.challenger)
            if question.id != dispute.audit.question:
                yield from done(Result(UNDERIVABLE, (), digest([question.id])), later_ms)
            elif dispute.is_across:
                yield from self._measure(dispute, question, deadline_ms, later_ms, done)
            else:
                yield from done(_result(question.id, event.output if known is None else known), later_ms)

        if dispute.is_across:
            wanted = (self._context, params, slot, derived)
            yield from referee.write_prompt(
                *wanted, model=first.manifest, purpose=Purpose.VOTE, deadline_ms=deadline_ms
            )
            return
        ask = first.ask if known is None else replace(first.ask, tokens_max=0)
        asked = (self._context, params, slot, ask, derived)
        yield from derive(*asked, model=first.manifest, purpose=Purpose.VOTE, deadline_ms=deadline_ms)

    def _answer_shown(
        self, dispute: Dispute, known: Output | None, deadline_ms: int, done: ResultDone
    ) -> Effects[None]:
        """Answer the question of a report, which the reporter shows."""
        context, audit = self._context, dispute.audit

        def shown(event: ResponseArrived | AskFailed, later_ms: int) -> Effects[None]:
            question = _read_question(event, audit, context)
            if isinstance(question, str):
                yield from done(question, later_ms)
            elif question.manifest not in context.held or not can_show(question):
                yield from done("this peer cannot compute the question of a report", later_ms)
            else:
                yield from self._answer_question(question, deadline_ms, done)

        if known is not None:
            yield from done(_result(audit.question, known), deadline_ms)
            return
        request = encode_evidence_request(dispute.key, 0)
        yield from context.fetch(dispute.key.challenger, request, deadline_ms, shown)

    def _answer_question(self, question: Question, deadline_ms: int, done: ResultDone) -> Effects[None]:
        def answered(event: Computed | ComputeFailed, later_ms: int) -> Effects[None]:
            if isinstance(event, ComputeFailed):
                yield from done(event, later_ms)
            else:
                yield from done(_result(question.id, event.output), later_ms)

        wanted = (answered, question.ask)
        yield from self._context.compute(
            *wanted, model=question.manifest, purpose=Purpose.VOTE, deadline_ms=deadline_ms
        )

    def _measure(
        self, dispute: Dispute, question: Question, deadline_ms: int, now_ms: int, done: ResultDone
    ) -> Effects[None]:
        """Fetch the disputed answers and have the referee measure them."""
        context = self._context

        def fetched(outputs: Outputs | None, later_ms: int) -> Effects[None]:
            if outputs is None:
                yield from done("the disputed answers cannot be had", later_ms)
                return
            wanted = (context, question, outputs, later_ms, measured)
            yield from referee.measure_all(*wanted, purpose=Purpose.VOTE, deadline_ms=deadline_ms)

        def measured(measures: Measures | ComputeFailed, scored: bytes, later_ms: int) -> Effects[None]:
            if isinstance(measures, ComputeFailed):
                yield from done(measures, later_ms)
            else:
                yield from done(Result(verdict_digest(question.id, measures), measures, scored), later_ms)

        return self._fetcher.fetch(dispute.audit, now_ms, fetched)

    def _contract(self, dispute: Dispute) -> Network:
        context = self._context
        return contract_about(context.network, context.fold.latest, context.class_index, dispute)

    def _slot(self, dispute: Dispute, params: Params) -> sortition.Slot | None:
        """The disputed slot, derived from the challenger's duty."""
        record = self._context.ledger.at(dispute.key.challenger, dispute.duty_seq)
        if record is None or record.kind != Kind.DUTY:
            return None
        return owed_slot(decode_duty(record.payload), dispute.key.slot, params)


def _result(question: bytes, output: Output) -> Result:
    """The result of an own answer to a question, which is named by its id."""
    return Result(output.digest(question), (), digest([question, *output.to_value()]))


def _read_question(event: ResponseArrived | AskFailed, audit: Audit, context: Context) -> Question | str:
    """The question of a report from the reporter's answer, or why there is none."""
    if isinstance(event, AskFailed):
        return NOT_SHOWN
    if audit.is_private:
        boxed = open_box(event.data, context.box_secret, audit, context.network_id)
        return boxed if isinstance(boxed, str) else boxed.question
    try:
        question = decode_shown_question(event.data)
    except DecodeError:
        return NOT_SHOWN
    return question if question is not None and question.id == audit.question else NOT_SHOWN
