"""A full check: a panel of peers answers one question of a client at once, and their answers are compared.

Nothing of an answer reaches the client before a majority of the panel is known to give it. So a stream begins later
than usual. Within a class digests are compared. Across classes this node's referee judges each answer. Without a
referee answers of other classes are not compared, and the receipt says so.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.events import REFEREE
from p2pverify.core.inference.agreement import Agreement, ComparedAnswer, Relation, agree, early_majority
from p2pverify.core.inference.compare import Verdict, verdict
from p2pverify.core.inference.question import Question
from p2pverify.node.clients.asking import (
    ANSWER_S,
    AnsweredQuestion,
    Asking,
    HeardTokens,
    NoAnswer,
    PeerAnswer,
    Remark,
    SaltOf,
    Take,
)
from p2pverify.node.clients.choice import AnswerPeer, Choice
from p2pverify.node.clients.line import LineFailed
from p2pverify.node.engines.measuring import measure_answer
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable, RefereeUnavailable

if TYPE_CHECKING:
    from p2pverify.node.driver import Driver

LINES_MAX = 64  # answers to full checks that are being made at once, of all clients


@dataclass
class _Sitting:
    """One full check on its way."""

    question: Question
    salt_of: SaltOf
    panel: int
    waiting: deque[AnswerPeer]
    classes: set[int] = field(default_factory=set)  # of all that were asked
    answers: list[PeerAnswer] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    is_released: bool = False

    def compared(self, verdicts: Sequence[Verdict | None] | None = None) -> list[ComparedAnswer]:
        """The answers as they are compared, with the referee's verdicts if there are any."""
        return [
            ComparedAnswer(one.candidate.class_index, one.exchanged.answer.output.digest(self.question.id), told)
            for one, told in zip(self.answers, verdicts or [None] * len(self.answers), strict=True)
        ]


class FullCheck:
    """Carries out full checks of the answers of one model.

    `driver` has the referee, if this node can run the model; else answers of several classes are not judged. `lines`
    bounds the answers that are being made at once, of all models.
    """

    def __init__(
        self,
        network: Network,
        asking: Asking,
        choice: Choice,
        counters: Counters,
        driver: "Driver | None" = None,
        lines: trio.CapacityLimiter | None = None,
    ) -> None:
        self._driver = driver
        self._network = network
        self._asking = asking
        self._choice = choice
        self._counters = counters
        self._limiter = lines or trio.CapacityLimiter(LINES_MAX)

    async def answer(
        self, question: Question, panel: int, salt_of: SaltOf, take: Take, note: Remark
    ) -> AnsweredQuestion:
        """Have `panel` peers answer. `take` gets the majority's tokens.

        A peer that fails is replaced by the next one, and this node itself is the last. There is no majority if no
        answer is that of more than half of the panel. Raises NoAnswer if nobody answers.
        """
        epoch = self._asking.epoch
        sitting = _Sitting(question, salt_of, panel, deque(self._asking.candidates(question, panel)))
        async with trio.open_nursery() as nursery:
            for _ in range(panel):
                nursery.start_soon(self._seat, sitting, take, note)
        if not sitting.answers:
            raise NoAnswer(tuple(sitting.reasons))
        verdicts = None
        if not sitting.is_released and len({one.candidate.class_index for one in sitting.answers}) > 1:
            verdicts = await self._judge(question, sitting.answers)
        found = agree(sitting.compared(verdicts), panel)
        self._note_found(sitting, found, note, epoch)
        answered = AnsweredQuestion(tuple(sitting.answers), panel, found)
        if answered.returned is not None and not sitting.is_released:
            take(answered.returned.exchanged.answer.output.tokens)
        return answered

    async def _seat(self, sitting: _Sitting, take: Take, note: Remark) -> None:
        """One seat of the panel: ask candidates until one has answered."""
        while sitting.waiting:
            candidate = sitting.waiting.popleft()
            sitting.classes.add(candidate.class_index)
            try:
                async with self._limiter:
                    heard = HeardTokens([], lambda _: None)
                    sitting.answers.append(
                        await self._asking.ask(candidate, sitting.question, sitting.salt_of, heard, note)
                    )
            except LineFailed as failed:
                sitting.reasons.append(failed.code)
                continue
            self._release(sitting, take)
            return

    def _release(self, sitting: _Sitting, take: Take) -> None:
        """Give the client its answer as soon as the rest of the panel cannot change it.

        Answers of several classes wait for the referee, because it can overrule a majority.
        """
        if sitting.is_released or len(sitting.classes) > 1:
            return
        found = early_majority(sitting.compared(), sitting.panel)
        if found is not None:
            sitting.is_released = True
            take(sitting.answers[found].exchanged.answer.output.tokens)

    async def _judge(self, question: Question, answers: Sequence[PeerAnswer]) -> list[Verdict | None]:
        """The referee's verdict on each answer. None where the contract has no bounds, or the referee cannot judge."""
        known: dict[tuple[int, bytes], Verdict | None] = {}
        found = []
        for one in answers:
            key = (one.candidate.class_index, one.exchanged.answer.output.digest(question.id))
            if key not in known:
                known[key] = await self._verdict(question, one)
            found.append(known[key])
        return found

    async def _verdict(self, question: Question, answered: PeerAnswer) -> Verdict | None:
        from p2pverify.core.state.lines.versions import contract_with  # noqa: PLC0415 - a client without a ledger has none

        driver, model = self._driver, question.manifest
        if driver is None or model not in driver.machine.context.held or not self._network.referee:
            return None
        contract = contract_with(self._network, driver.machine.fold.latest, model)
        bounds = contract.classes[answered.candidate.class_index].across
        if bounds is None:
            return None
        output = answered.exchanged.answer.output
        judge = partial(measure_answer, question=question, output=output)
        try:
            with trio.fail_after(ANSWER_S):
                return verdict(await driver.use_engine(judge, role=REFEREE, model=model), bounds)
        except (EngineBusy, ModelUnavailable, RefereeUnavailable, ValueError, trio.TooSlowError) as error:
            self._counters.count(f"answers not judged: {type(error).__name__}")
            return None

    def _note_found(self, sitting: _Sitting, found: Agreement, note: Remark, epoch: int) -> None:
        """Count and tell what was found. A peer that differs from the majority is left out until the epoch ends."""
        self._counters.count("full checks")
        self._counters.count("full checks without a majority", found.chosen is None)
        for one, told in zip(sitting.answers, found.relations, strict=True):
            note("compared", one.candidate, str(told))
            if told is Relation.DIFFERS and found.chosen is not None:
                self._counters.count("answers unlike the majority's")
                if not one.candidate.is_own:
                    self._choice.note_failed(one.candidate.peer, epoch)
