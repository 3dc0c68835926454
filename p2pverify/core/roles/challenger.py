"""Issuing owed audits: draw, answer first, ask, publish the audit, and reveal the duty after the epoch.

In a slot across classes the challenger does not answer the question. The referee measures the answers of the targets.
The challenger keeps the answers as evidence, and seals the measures into the audit. A slot has these phases:

| phase     | waits for                      | next phase                         | method          |
|-----------|--------------------------------|------------------------------------|-----------------|
| PLANNED   | its due time                   | DERIVING                           | `_derive`       |
| DERIVING  | the prompt, and the own answer | ASKING                             | `_ask`          |
| ASKING    | the answers of all targets     | AUDITED; across classes: MEASURING | `_take_answers` |
| MEASURING | the measures                   | AUDITED                            | `_publish`      |

A slot is given up if nobody can be asked or an engine fails. A restart resumes no slot, because this peer signs nothing
for the epochs that began before the restart. It plans only later epochs.
"""

from collections import deque
from dataclasses import dataclass, replace
from functools import partial

from p2pverify.core.contract.output import Output
from p2pverify.core.counters import Counters
from p2pverify.core.events import Computed, ComputeFailed, Effects, Note, Persist, StoredEvidence
from p2pverify.core.inference.compare import Measures, Verdict
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Opening, Question
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import Audit, audit_of, sealed_measures
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.roles import referee
from p2pverify.core.roles.asker import Answers, Asker, spread_ms
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.roles.disputes.evidence import EvidenceBox
from p2pverify.core.roles.slot_plan import (
    EpochPlan,
    SlotPhase,
    SlotPlan,
    across_opening,
    derive,
    find_anchor,
    make_plan,
    slot_opening,
    slot_question,
)
from p2pverify.core.state.verdicts import cross_class

#: Evidence is kept for this many epochs longer than its dispute can last.
EVIDENCE_EPOCHS = 4
HABITS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Habit:
    """How an owed question was asked.

    `lag_ms` is the delay after its due time, in which the prompt and the own answer were computed. `prompt_tokens` is
    the length of its prompt.
    """

    lag_ms: int
    prompt_tokens: int


class Challenger(Part):
    """This peer's role as a challenger. Plans are functions of keys and records, so that a restart finds them again.

    `habits` has the habits of the newest questions, separately for slots within the class and across classes.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._plans: dict[int, EpochPlan] = {}
        self._duties_done: set[int] = set()
        self._audited: dict[tuple[int, int], Audit] = {}
        self._asker = Asker(context)
        self.habits = {cross_class: deque[Habit](maxlen=HABITS_KEPT) for cross_class in (False, True)}
        self.evidence = EvidenceBox()

    @property
    def answers(self) -> Counters:
        """How often asked peers answered, and how often they did not, by reason."""
        return self._asker.answers

    def resume(self) -> None:
        """Read the earlier duties and audits from the own log."""
        for record in self._context.ledger.chain(self._context.key):
            if record.kind == Kind.DUTY:
                self._duties_done.add(decode_duty(record.payload).epoch)
            elif record.kind == Kind.AUDIT:
                audit = audit_of(record)
                self._audited[audit.epoch, audit.slot] = audit

    def tick(self, now_ms: int) -> Effects[None]:
        context = self._context
        if not context.may_write(now_ms) or context.is_leaving:
            return
        epoch = context.params.epoch_at(now_ms)
        self._plan(epoch)
        self._forget(epoch)
        yield from self._asker.tick(now_ms)
        for planned in sorted(self._plans):
            plan = self._plans[planned]
            for slot in plan.slots:
                is_due = slot.due_ms <= now_ms and context.params.epoch_at(slot.due_ms) >= epoch - 1
                if slot.phase is SlotPhase.PLANNED and is_due:
                    yield from self._derive(plan, slot)
        yield from self._reveal(epoch, now_ms)

    def next_wake_ms(self, now_ms: int) -> int:
        """When the next slot or question is due, or the next epoch begins."""
        params = self._context.params
        due = [s.due_ms for p in self._plans.values() for s in p.slots if s.phase is SlotPhase.PLANNED]
        asking = self._asker.next_wake_ms()
        due += [] if asking is None else [asking]
        return min([*(d for d in due if d > now_ms), params.epoch_start_ms(params.epoch_at(now_ms) + 1)])

    def opening(self, epoch: int, slot: int) -> SlotPlan | None:
        """The plan of an own slot, for opening its answer in a dispute. None if the answer is not known."""
        plan = self._plans.get(epoch)
        for found in plan.slots if plan else ():
            if found.slot.index == slot and found.opening is not None:
                return found
        return None

    # ------------------------------------------------------------ planning

    def _plan(self, epoch: int) -> None:
        if epoch in self._duties_done or not self._context.may_sign_of(epoch):
            return
        if any(plan.epoch <= epoch <= plan.last for plan in self._plans.values()):
            return
        anchor = find_anchor(self._context, epoch)
        plan = None if anchor is None else make_plan(self._context, epoch, anchor)
        if plan is not None:
            self._plans[epoch] = plan

    def _forget(self, epoch: int) -> None:
        """Drop the plans, audits and evidence that nobody can ask for any more."""
        oldest = epoch - self._context.params.dispute_epochs - self._context.params.duty_reach
        for planned in [p for p in self._plans if p < oldest]:
            del self._plans[planned]
        for key in [k for k in self._audited if k[0] < oldest]:
            del self._audited[key]
        self._duties_done = {done for done in self._duties_done if done >= oldest}
        self.evidence.drop_before(self._oldest_evidence(epoch))

    # ------------------------------------------------------------ one slot

    def _derive(self, plan: EpochPlan, slot: SlotPlan) -> Effects[None]:
        """Let an engine write the prompt. Within the class only, it also computes this peer's own answer."""
        context = self._context
        if slot.panel.is_across and not context.fold.following.can_judge(slot.panel.contract):
            return self._give_up(slot, ComputeFailed(0, referee.NO_REFEREE))
        slot.phase = SlotPhase.DERIVING
        derived = partial(self._ask, plan, slot)
        deadline_ms = self._ask_until_ms(plan, slot)
        question = slot_question(context, slot.panel.contract, slot.slot, (), context.key)
        model, ask, params = question.manifest, question.ask, slot.panel.contract.params
        if slot.panel.is_across:
            wanted = (context, params, slot.slot, derived)
            return referee.write_prompt(*wanted, model=model, purpose=Purpose.AUDIT, deadline_ms=deadline_ms)
        asked = (context, params, slot.slot, ask, derived)
        return derive(*asked, model=model, purpose=Purpose.AUDIT, deadline_ms=deadline_ms)

    def _reveal_ms(self, plan: EpochPlan) -> int:
        """The latest time at which a duty is published. Its audits must be published by then."""
        return self._context.params.epoch_start_ms(plan.last + self._context.params.duty_epochs // 2 + 1)

    def _ask_until_ms(self, plan: EpochPlan, slot: SlotPlan) -> int:
        """The time by which the question must be ready to be asked.

        It leaves all targets their full time until the duty is published. But it is at least an epoch after the due
        time, unless the duty is published before.
        """
        params, reveal_ms = self._context.params, self._reveal_ms(plan)
        unhurried_ms = reveal_ms - params.deadline_ms - spread_ms(params)
        return min(reveal_ms, max(unhurried_ms, slot.due_ms + params.epoch_ms))

    def _ask(self, plan: EpochPlan, slot: SlotPlan, event: Computed | ComputeFailed, now_ms: int) -> Effects[None]:
        """Ask the targets. Within the class, the nonces commit to the own answer."""
        if isinstance(event, ComputeFailed):
            yield from self._give_up(slot, event)
            return
        slot.phase = SlotPhase.ASKING
        self.habits[slot.panel.is_across].append(Habit(now_ms - slot.due_ms, len(event.prompt)))
        question = slot_question(self._context, slot.panel.contract, slot.slot, event.prompt, self._context.key)
        opening = self._opening(plan, slot, question, event)
        answered = partial(self._take_answers, plan, slot, opening)
        yield from self._asker.ask(plan.epoch, slot.panel, question, opening, now_ms, answered)

    def _opening(self, plan: EpochPlan, slot: SlotPlan, question: Question, event: Computed) -> Opening:
        """The opening of a slot's nonces."""
        if slot.panel.is_across:
            return across_opening(self._context, plan.epoch, slot.slot.index, slot.targets)
        output = event.output.digest(question.id)
        return slot_opening(self._context, plan.epoch, slot.slot.index, slot.targets, output)

    def _take_answers(
        self, plan: EpochPlan, slot: SlotPlan, opening: Opening, answers: Answers, now_ms: int
    ) -> Effects[None]:
        """Audit the answers of the targets. Across classes, the referee measures them first."""
        if not slot.panel.is_across:
            yield from self._publish(plan, slot, opening, answers, now_ms)
            return
        slot.phase = SlotPhase.MEASURING
        yield from self._keep(plan, slot, answers)

        def measured(measures: Measures | ComputeFailed, _work: bytes, later_ms: int) -> Effects[None]:
            if isinstance(measures, ComputeFailed):
                yield from self._give_up(slot, measures)
            else:
                yield from self._publish(plan, slot, replace(opening, measures=measures), answers, later_ms)

        outputs = [answers.outputs.get(target) for target in slot.targets]
        wanted = (self._context, answers.question, outputs, now_ms, measured)
        yield from referee.measure_all(*wanted, purpose=Purpose.AUDIT, deadline_ms=self._reveal_ms(plan))

    def _keep(self, plan: EpochPlan, slot: SlotPlan, answers: Answers) -> Effects[None]:
        """Keep the answers as evidence, on disk before the audit is published."""
        found = tuple(
            StoredEvidence(plan.epoch, slot.slot.index, target, output)
            for target, output in sorted(answers.outputs.items())
        )
        for one in found:
            self.evidence.keep(one)
        if found:
            yield Persist(evidence=found, evidence_from=max(0, self._oldest_evidence(plan.epoch)))

    def _give_up(self, slot: SlotPlan, failed: ComputeFailed) -> Effects[None]:
        slot.phase = SlotPhase.GIVEN_UP
        if not failed.is_dropped:  # the engine's worker reports dropped jobs, many at once
            yield Note("warning", f"slot not audited: {failed.reason}")

    def _publish(
        self, plan: EpochPlan, slot: SlotPlan, opening: Opening, answers: Answers, now_ms: int
    ) -> Effects[None]:
        context = self._context
        slot.phase, slot.opening = SlotPhase.AUDITED, opening
        key = (plan.epoch, slot.slot.index)
        if key in self._audited or plan.epoch in self._duties_done or not context.may_write(now_ms):
            return
        if plan.epoch > context.params.epoch_at(now_ms):  # our clock was set back: all would reject the audit
            return
        question = answers.question.id
        sealed = None
        if slot.panel.is_across:
            name = DisputeKey(context.key, *key)
            sealed = sealed_measures(context.network_id, name, question, opening.measures, opening.salts)
        slot.differ = self._differs(slot, opening, answers)
        audit = Audit(context.key, *key, plan.anchor, question, answers.expiry, slot.differ, answers.asked, sealed)
        self._audited[key] = audit
        if audit.differ and not audit.is_across:
            yield from self._keep(plan, slot, answers)  # no vote needs it, but it shows the answers to people
        yield from context.write(Kind.AUDIT, audit.encode(), now_ms)

    def _differs(self, slot: SlotPlan, opening: Opening, answers: Answers) -> bool:
        """Whether an answer differs from this peer's own or, across classes, is suspicious.

        Only a challenger with weight counts in the pooled test, so only such a one disputes more than mismatches.
        """
        if slot.panel.is_across:
            judged = cross_class.verdicts(slot.panel.contract, answers.asked, opening.measures)
            member = self._context.fold.latest.members.get(self._context.key)
            if member is not None and member.weight:
                return cross_class.is_suspicious(judged)
            return any(one.verdict is Verdict.MISMATCH for one in judged)
        return not all(receipt.is_for(opening.output) for receipt in answers.receipts.values() if receipt is not None)

    # ------------------------------------------------------------ evidence

    def find_evidence(self, key: DisputeKey, which: int) -> Output | None:
        """The answer of an asked peer in an own slot. None unless the audit is in dispute, or is certain to be."""
        audit = self._audited.get((key.epoch, key.slot))
        if audit is None or which >= len(audit.asked):
            return None
        is_open = key in self._context.fold.latest.disputes
        if not (is_open or (audit.differ and key.epoch in self._duties_done)):
            return None
        return self.evidence.of(key.epoch, key.slot).get(audit.asked[which].responder)

    def _oldest_evidence(self, epoch: int) -> int:
        """The first epoch for which somebody may still ask for evidence."""
        params = self._context.params
        return epoch - params.dispute_epochs - params.duty_reach - EVIDENCE_EPOCHS

    # ------------------------------------------------------------ reveal

    def _reveal(self, epoch: int, now_ms: int) -> Effects[None]:
        """Publish the duty of each past period, once its slots are done or half of `duty_epochs` has passed."""
        for planned in sorted(self._plans):
            plan = self._plans[planned]
            if plan.last >= epoch or planned in self._duties_done:
                continue
            if not plan.is_done and epoch <= plan.last + self._context.params.duty_epochs // 2:
                continue
            self._duties_done.add(planned)
            openings = tuple(
                slot.opening
                for slot in plan.slots
                if slot.opening is not None and not slot.differ and (planned, slot.slot.index) in self._audited
            )
            duty = Duty(planned, plan.anchor, plan.beacon, self._context.vrf_key, plan.proof, openings)
            yield from self._context.write(Kind.DUTY, duty.encode(), now_ms)
