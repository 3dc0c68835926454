"""Issuing owed audits: draw, answer first, ask, publish the audit, and reveal the duty after the epoch."""

from p2pverify.core.audit import Asked, Audit, Duty, decode_duty
from p2pverify.core.context import Context, JobDone
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Computed, ComputeFailed, Note, ResponseArrived
from p2pverify.core.plans import EpochPlan, SlotPlan, find_anchor, make_plan, slot_opening, slot_question
from p2pverify.core.question import (
    Question,
    Receipt,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    opening_nonce,
    output_digest,
    sign_request,
)
from p2pverify.core.records import Kind
from p2pverify.core.rules import audit_of

PRIORITY = 2
EXPIRY_EPOCHS = 4
PLANS_KEPT = 64


class Challenger:
    """This peer's side as a challenger. Plans are functions of keys and records, so a restart finds them again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._plans: dict[int, EpochPlan] = {}
        self._duties_done: set[int] = set()
        self._audited: dict[tuple[int, int], Audit] = {}
        self.answers: dict[str, int] = {}

    def resume(self) -> None:
        """Find in the own log what was already said."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.DUTY:
                self._duties_done.add(decode_duty(record.payload).epoch)
            elif record.kind == Kind.AUDIT:
                audit = audit_of(record)
                self._audited[audit.epoch, audit.slot] = audit

    def tick(self, now_ms: int) -> None:
        context = self._context
        if not context.may_write(now_ms) or context.is_leaving:
            return
        epoch = context.params.epoch_at(now_ms)
        self._plan(epoch, now_ms)
        self._recover(epoch)
        for planned in sorted(self._plans):
            plan = self._plans[planned]
            for slot in plan.slots:
                if not slot.is_started and now_ms >= slot.due_ms and planned >= epoch - 1:
                    self._start(plan, slot)
        self._reveal(epoch, now_ms)

    def next_wake_ms(self, now_ms: int) -> int:
        """When the next slot is due or the next epoch begins."""
        params = self._context.params
        due = [s.due_ms for p in self._plans.values() for s in p.slots if not s.is_started]
        return min([*(d for d in due if d > now_ms), params.epoch_start_ms(params.epoch_at(now_ms) + 1)])

    def opening(self, epoch: int, slot: int) -> SlotPlan | None:
        """The plan of an own slot whose answer is known, for opening it in a dispute."""
        plan = self._plans.get(epoch)
        for found in plan.slots if plan else ():
            if found.slot.index == slot and found.opening is not None:
                return found
        return None

    # ------------------------------------------------------------ planning

    def _plan(self, epoch: int, now_ms: int) -> None:
        if epoch in self._plans or epoch in self._duties_done:
            return
        if any(audited == epoch for audited, _ in self._audited):
            return  # planned before a restart: _recover takes it up with the anchor of then
        anchor = find_anchor(self._context, epoch)
        plan = None if anchor is None else make_plan(self._context, epoch, anchor)
        if plan is None:
            return
        if now_ms < self._context.quiet_until_ms + self._context.params.epoch_ms:
            # Slots that were due while this peer was silent may have been asked before a restart.
            for slot in plan.slots:
                if slot.due_ms < self._context.quiet_until_ms:
                    slot.is_started = slot.is_done = True
        self._plans[epoch] = plan

    def _recover(self, epoch: int) -> None:
        """Plan again the epochs whose audits are out but whose answers this process does not know."""
        params = self._context.params
        oldest = epoch - params.dispute_epochs - params.duty_epochs
        for (audited, _), audit in sorted(self._audited.items()):
            if audited in self._plans or audited < oldest:
                continue
            anchor = self._context.fold.state(audit.anchor)
            plan = None if anchor is None else make_plan(self._context, audited, anchor)
            if plan is None:
                continue
            self._plans[audited] = plan
            for slot in plan.slots:
                known = self._audited.get((audited, slot.slot.index))
                slot.is_started = True
                slot.is_done = known is None
                if known is not None:
                    slot.differ = known.differ
                    self._answer_again(plan, slot)
        for planned in [p for p in self._plans if p < oldest]:
            del self._plans[planned]
        for key in [k for k in self._audited if k[0] < oldest]:
            del self._audited[key]

    def _answer_again(self, plan: EpochPlan, slot: SlotPlan) -> None:
        def answered(event: Computed | ComputeFailed, _now_ms: int) -> None:
            if isinstance(event, Computed):
                question = slot_question(self._context, slot.slot, event.prompt, self._context.key)
                output = output_digest(question.id, event.tokens, event.finish)
                slot.opening = slot_opening(self._context, plan.epoch, slot.slot.index, slot.targets, output)
            slot.is_done = True

        self._compute(slot, answered)

    # ------------------------------------------------------------ one slot

    def _compute(self, slot: SlotPlan, done: JobDone) -> None:
        params = self._context.params
        question = slot_question(self._context, slot.slot, (0,), self._context.key)
        self._context.compute(
            done,
            priority=PRIORITY,
            prompt_seed=slot.slot.prompt_seed,
            tokens_max=params.answer_tokens,
            temperature_milli=question.temperature_milli,
            sampler_key=question.sampler_key,
        )

    def _start(self, plan: EpochPlan, slot: SlotPlan) -> None:
        slot.is_started = True

        def answered(event: Computed | ComputeFailed, now_ms: int) -> None:
            if isinstance(event, ComputeFailed):
                slot.is_done = True
                self._context.effects.append(Note("warning", f"slot not audited: {event.reason}"))
            else:
                self._ask(plan, slot, event, now_ms)

        self._compute(slot, answered)

    def _ask(self, plan: EpochPlan, slot: SlotPlan, event: Computed, now_ms: int) -> None:
        context = self._context
        question = slot_question(context, slot.slot, event.prompt, context.key)
        output = output_digest(question.id, event.tokens, event.finish)
        slot.opening = slot_opening(context, plan.epoch, slot.slot.index, slot.targets, output)
        expiry = context.params.epoch_at(now_ms) + EXPIRY_EPOCHS
        receipts: dict[bytes, Receipt | None] = {}
        nonces: dict[bytes, bytes] = {}
        for which, target in enumerate(slot.targets):
            nonces[target] = opening_nonce(
                context.network_id, context.key, target, plan.epoch, question.id, slot.opening, which
            )
            self._send(question, target, nonces[target], expiry, now_ms, (plan, slot, receipts, nonces))

    def _send(
        self,
        question: Question,
        target: bytes,
        nonce: bytes,
        expiry: int,
        now_ms: int,
        audit: tuple[EpochPlan, SlotPlan, dict[bytes, Receipt | None], dict[bytes, bytes]],
    ) -> None:
        context = self._context
        request = Request(context.network_id, context.key, target, question.id, nonce, expiry)
        data = encode_request(request, question, sign_request(context.seed, request))
        plan, slot, receipts, nonces = audit

        def responded(event: ResponseArrived | AskFailed, later_ms: int) -> None:
            receipts[target] = self._read(request, event)
            if len(receipts) == len(slot.targets):
                self._publish(plan, slot, question, expiry, receipts, nonces, later_ms)

        context.send(target, data, now_ms + context.params.deadline_ms, responded)

    def _read(self, request: Request, event: ResponseArrived | AskFailed) -> Receipt | None:
        """A receipt, or None: no answer, a refusal and a malformed answer are all none, and counted apart."""
        if isinstance(event, AskFailed):
            self._count(f"no answer: {event.reason}")
            return None
        try:
            answer = decode_response(event.data, request)
        except RequestRefused as refused:
            self._count(f"refused: {refused.code}")
            return None
        except DecodeError:
            self._count("malformed answer")
            return None
        if answer.receipt.class_index != self._context.class_index:
            self._count("receipt of another class")
            return None
        self._count("answered")
        return answer.receipt

    def _count(self, what: str) -> None:
        self.answers[what] = self.answers.get(what, 0) + 1

    def _publish(
        self,
        plan: EpochPlan,
        slot: SlotPlan,
        question: Question,
        expiry: int,
        receipts: dict[bytes, Receipt | None],
        nonces: dict[bytes, bytes],
        now_ms: int,
    ) -> None:
        context = self._context
        slot.is_done = True
        key = (plan.epoch, slot.slot.index)
        if key in self._audited or plan.epoch in self._duties_done or not context.may_write(now_ms):
            return
        assert slot.opening is not None
        asked = tuple(Asked(target, nonces[target], receipts[target]) for target in slot.targets)
        audit = Audit(context.key, plan.epoch, slot.slot.index, plan.anchor, question.id, expiry, False, asked)
        output = slot.opening.output
        slot.differ = not all(audit.matches(a.receipt, output) for a in asked if a.receipt is not None)
        audit = Audit(context.key, plan.epoch, slot.slot.index, plan.anchor, question.id, expiry, slot.differ, asked)
        self._audited[key] = audit
        context.write(Kind.AUDIT, audit.encode(), now_ms)

    # ------------------------------------------------------------ reveal

    def _reveal(self, epoch: int, now_ms: int) -> None:
        """Publish the duty of each past epoch, once its slots are done or the patience is over."""
        for planned in sorted(self._plans):
            plan = self._plans[planned]
            if planned >= epoch or planned in self._duties_done:
                continue
            if not plan.is_done and epoch <= planned + self._context.params.duty_epochs // 2:
                continue
            self._duties_done.add(planned)
            openings = tuple(
                slot.opening
                for slot in plan.slots
                if slot.opening is not None and not slot.differ and (planned, slot.slot.index) in self._audited
            )
            duty = Duty(planned, plan.anchor, plan.beacon, self._context.vrf_key, plan.proof, openings)
            self._context.write(Kind.DUTY, duty.encode(), now_ms)
