"""Explains an audit: the question, the answers, and the judgement of this node's engine or of the referee.

Only audits can be explained, because a model wrote their prompts and the prompts follow from the draw. Of a report only
its votes are shown, because its question is a client's. An explanation
takes the engine's time. So it is made in the background, when no other job waits, and for a limited time. A reader sees
meanwhile what is known so far. A missing part is named in the notes; it is no error. Explanations have no effect on any
score or vote.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import OWN, REFEREE
from p2pverify.core.inference.compare import verdict_digest
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.roles.disputes.evidence import decode_evidence, encode_evidence_request
from p2pverify.core.roles.disputes.evidence_fetch import fits
from p2pverify.core.roles.slot_plan import slot_question
from p2pverify.core.state.lines.versions import contract_of
from p2pverify.core.state.verdicts.derive import owed_slot
from p2pverify.node import ports
from p2pverify.node.driver import Driver
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable, RefereeUnavailable
from p2pverify.node.reports.audits import AuditLog
from p2pverify.node.reports.disputes import whole_dispute
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.findings import AnswerFinding, AnswerToJudge, Explanation, judge_answer, suppose

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

DEADLINE_S = 120
FETCH_S = 5
WAITING_MAX = 8
KEPT_MAX = 32
log = logging.getLogger(__name__)
_T = TypeVar("_T")


class _CannotSay(Exception):
    """A part of an explanation is not available; the message says which."""


class Explainer:
    """Explains the audits of one node, one at a time, while `run` is running."""

    def __init__(self, driver: Driver, network: ports.NetworkPort, log: AuditLog) -> None:
        self._driver = driver
        self._machine = driver.machine
        self._context = driver.machine.context
        self._network = network
        self._log = log
        self._known: OrderedDict[DisputeKey, Explanation] = OrderedDict()
        self._send, self._receive = trio.open_memory_channel[Explanation](WAITING_MAX)

    async def explain(self, name: str, *, wait_s: float) -> ExplainedAudit:
        """What is known of an audit after at most `wait_s` seconds. Raises UnknownAudit.

        `complete` says whether the explanation is finished.
        """
        audit = self._log.find(name)
        found = self._take_up(audit)
        with trio.move_on_after(wait_s):
            await found.done.wait()
        dispute = self._log.dispute(audit.key)
        network, state = self._context.network, self._context.fold.latest
        votes = None if dispute is None else whole_dispute(network, state, dispute, found.own_output)
        return found.to_document(self._log.told(audit), votes, self._log.report(audit.key))

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Work on requested explanations until cancelled."""
        task_status.started()
        async for explanation in self._receive:
            with trio.move_on_after(DEADLINE_S) as scope:
                try:
                    await self._work(explanation)
                except _CannotSay as reason:
                    explanation.notes.append(str(reason))
                except Exception as error:  # an explanation is for people only, and must not end the node
                    log.exception("an audit could not be explained")
                    explanation.notes.append(f"the node failed to explain it: {type(error).__name__}; see its log")
            if scope.cancelled_caught:
                explanation.notes.append(f"the explanation is not complete after {DEADLINE_S} s; ask again later")
            explanation.done.set()

    def _take_up(self, audit: Audit) -> Explanation:
        """The explanation of an audit. One with gaps is begun again once a later cut is final."""
        found = self._known.get(audit.key)
        latest = self._context.fold.latest.id
        if found is not None and not (found.done.is_set() and found.notes and found.at != latest):
            self._known.move_to_end(audit.key)
            return found
        found = Explanation(audit, latest, self._context.network)
        try:
            self._send.send_nowait(found)
        except trio.WouldBlock:
            found.notes.append("too many explanations are waiting; ask again later")
            found.done.set()
            return found
        self._known[audit.key] = found
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        return found

    # ------------------------------------------------------------ the work

    async def _work(self, explanation: Explanation) -> None:
        audit = explanation.audit
        if audit.is_report:
            raise _CannotSay(self._of_report(audit.key))
        question = await self._derive(explanation)
        if not audit.is_across:
            await self._answer(explanation, question)
        for which, asked in enumerate(audit.asked):
            if asked.receipt is not None:
                await self._look_at(explanation, question, which, asked)
        measures = tuple(
            None if asked.receipt is None else explanation.answers[asked.responder].measure for asked in audit.asked
        )
        if audit.is_across and all(
            asked.receipt is None or measure is not None for asked, measure in zip(audit.asked, measures, strict=True)
        ):
            explanation.own_output = verdict_digest(question.id, measures)

    def _of_report(self, key: DisputeKey) -> str:
        """Why an explained report has no question and no answer."""
        report = self._log.report(key)
        if report is not None and report.output is not None:
            return "the report has digests alone, so it opens no dispute and has no effect on any score"
        if self._log.dispute(key) is None:
            return "this node has seen no dispute about this report: no cut has taken it yet, or it did not count"
        return "the reporter shows the question to the seats of the dispute alone, so no answer is shown here"

    async def _derive(self, explanation: Explanation) -> Question:
        """The question that follows from the slot. Raises _CannotSay."""
        audit, context = explanation.audit, self._context
        self._check_class(explanation)
        duty = self._log.duty(audit)
        if duty is None:
            raise _CannotSay(
                "the question is not known yet: it follows from the challenger's duty, which is not published yet"
            )
        slot = owed_slot(duty, audit.slot, context.params)
        if slot is None:
            raise _CannotSay("the challenger did not owe this slot: nobody can say what it asked")
        size = slot.prompt_tokens(context.params)

        def write(engine: ports.Engine) -> tuple[Question, str, str]:
            prompt = tuple(engine.write_prompt(slot.prompt_seed, size))
            question = slot_question(context, explanation.contract, slot, prompt, audit.challenger)
            return question, engine.decode(prompt), engine.info.engine

        model = explanation.contract.classes[context.class_index].manifest
        question, text, engine = await self._use(write, explanation.role, model)
        explanation.engine = engine
        if question.id != audit.question:
            raise _CannotSay("the challenger did not ask the question that follows from its slot")
        explanation.question, explanation.prompt = question, text
        return question

    def _check_class(self, explanation: Explanation) -> None:
        """Choose the engine of this node that can write the slot's prompt. Raises _CannotSay if none can."""
        audit, context = explanation.audit, self._context
        classes = context.network.classes
        index = explanation.class_index(context.fold.latest)
        if index is None or index >= len(classes):
            raise _CannotSay("the class of the challenger is not known")
        own = classes[context.class_index]
        if classes[index].manifest != own.manifest:
            raise _CannotSay("the audit is of another model than this node's")
        anchor = context.fold.latest.past_of(audit.anchor)
        if context.network.lines and (anchor is None or audit.challenger not in anchor.members):
            raise _CannotSay("this node cannot say which version the challenger served")
        if anchor is not None and audit.challenger in anchor.members:
            explanation.contract = contract_of(context.network, anchor, audit.challenger)
        if explanation.contract.classes[index].manifest not in context.held:
            raise _CannotSay("the audit is of a version that this node does not have")
        explanation.role = REFEREE if audit.is_across else OWN
        if not audit.is_across and index != context.class_index:
            raise _CannotSay(
                f"the audit was made within class {classes[index].name!r}, and this node computes in class"
                f" {own.name!r}: only nodes of the same class get the same question and answer"
            )

    async def _answer(self, explanation: Explanation, question: Question) -> None:
        """Within a class: the answer of this node's own engine."""

        def answer(engine: ports.Engine) -> Output:
            return engine.answer(question.ask).output

        explanation.own = own = await self._use(answer, OWN, question.manifest)
        explanation.own_output = own.digest(question.id)

    async def _look_at(self, explanation: Explanation, question: Question, which: int, asked: AskedPeer) -> None:
        """One asked peer's answer. Missing parts are noted with it."""
        finding = explanation.answers[asked.responder] = AnswerFinding()
        explanation.judge_digest(asked, finding)
        try:
            output = await self._find(explanation, which, asked)
            finding.output = output
            judge = AnswerToJudge(question, output, explanation.own)
            try:
                await self._use(partial(judge_answer, judge, finding), explanation.role, question.manifest)
            finally:  # an answer that no engine can score has a measure too
                explanation.judge_measure(asked, finding)
            for milli in explanation.worth_supposing(finding):
                await self._use(partial(suppose, judge, finding, milli), explanation.role, question.manifest)
            explanation.find_cause(asked, finding)
        except _CannotSay as reason:
            finding.missing = str(reason)
            explanation.notes.append(f"{peer_id(asked.responder)}: {reason}")

    # ------------------------------------------------------------ answers

    async def _find(self, explanation: Explanation, which: int, asked: AskedPeer) -> Output:
        """The answer that a receipt was given for. Raises _CannotSay."""
        audit, machine = explanation.audit, self._machine
        known: list[Output | None] = [explanation.own]
        if audit.challenger == machine.key:
            known.append(machine.challenger.evidence.of(audit.epoch, audit.slot).get(asked.responder))
        if asked.responder == machine.key:
            known.append(machine.responder.known_output(audit.challenger, audit.question))
        for output in known:
            if output is not None and fits(output, asked, audit):
                return output
        for source in (audit.challenger, asked.responder):
            if source != machine.key:
                output = await self._fetch(source, encode_evidence_request(audit.key, which))
                if output is not None and fits(output, asked, audit):
                    return output
        raise _CannotSay(
            "its answer cannot be had: challenger and responder show it only while the audit is in dispute,"
            " and only if they have it"
        )

    async def _fetch(self, source: bytes, request: bytes) -> Output | None:
        found: Output | None = None
        with trio.move_on_after(FETCH_S):
            try:
                found = decode_evidence(await self._network.fetch(source, request))
            except (ports.AskError, DecodeError) as error:
                log.debug("no evidence from %s: %s", source.hex()[:16], error)
        return found

    async def _use(self, do: Callable[[ports.Engine], _T], role: str, model: bytes) -> _T:
        """Call `do` with an engine. Raises _CannotSay if that fails."""
        try:
            return await self._driver.use_engine(do, role=role, model=model)
        except EngineBusy:
            raise _CannotSay("the engine is too busy") from None
        except (ModelUnavailable, RefereeUnavailable, ValueError) as error:
            raise _CannotSay(str(error)) from None
