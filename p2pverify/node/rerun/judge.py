"""Computes judged slots again, by the steps of a voter, with this machine's engine or the network's referee.

A machine judges only after it has proven its class by the golden questions. A result that differs from the ledger is
computed a second time, because a machine that gives two answers to one question cannot judge others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.inference.compare import (
    Measures,
    Verdict,
    verdict,
    verdict_digest,
)
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.replica.cases import Case
from p2pverify.core.roles.disputes.evidence_fetch import Outputs, fits
from p2pverify.core.state.verdicts.derive import derive_question, owed_slot
from p2pverify.node.engines.classes import choose_class, judge_classes, match_class
from p2pverify.node.engines.measuring import measure_answer
from p2pverify.node.engines.selftest import answer_golden, run_selftest
from p2pverify.node.files.manifestfile import describes
from p2pverify.node.ports import Engine, ModelInfo
from p2pverify.node.rerun.draw import Obstacle
from p2pverify.node.user_error import UserError

#: Finds the answers behind the receipts of a case across classes; None if one is missing.
FindAnswers = Callable[[Case], Outputs | None]


class CannotJudgeError(UserError):
    """This machine must not judge: `reason` says why, `hint` says what to do."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """The output that this machine computes for a case (32 B), and across classes the measures behind it."""

    output: bytes
    measures: Measures = ()


@dataclass(frozen=True, slots=True)
class ProvenClass:
    """The class that a machine has proven, the manifest of its model, and the result of the self-test in words."""

    index: int
    manifest: Manifest
    reason: str


def prove_class(network: Network, manifests: Sequence[Manifest], engine: Engine) -> ProvenClass:
    """Answer the golden questions. Blocks for seconds. Raises ClassError if the answers are those of no class."""
    own = [manifest for manifest in manifests if describes(manifest, engine.info)]
    tested = run_selftest(engine, [manifest.golden for manifest in own if manifest.golden.questions])
    index, manifest = match_class(network, manifests, engine.info, tested)
    chosen = choose_class(judge_classes(network.classes, manifests, engine.info, tested), engine.info)
    assert chosen is not None  # match_class found it
    return ProvenClass(index, manifest, chosen.reason)


class CaseJudge:
    """Runs cases again. `open_referee` opens the referee when it is first needed. Blocks; not for several threads."""

    def __init__(
        self,
        network: Network,
        proven: ProvenClass,
        engine: Engine,
        open_referee: Callable[[], Engine],
        find_answers: FindAnswers,
    ) -> None:
        self._network = network
        self._proven = proven
        self._engine = engine
        self._open_referee = open_referee
        self._find_answers = find_answers
        self._referee: Engine | None = None

    @property
    def class_name(self) -> str:
        return self._network.classes[self._proven.index].name

    @property
    def selftest(self) -> str:
        """What the golden questions have shown."""
        return self._proven.reason

    @property
    def manifest(self) -> Manifest:
        return self._proven.manifest

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    def obstacle(self, case: Case) -> Obstacle | None:
        """Why this machine cannot run a case again, or None."""
        if case.is_sealed:
            return Obstacle.SEALED
        place = case.classes[0]
        if not case.is_across and place != self._proven.index:
            return Obstacle.OTHER_CLASS
        if case.model != self._proven.manifest.digest:
            is_version = self._network.classes[place].manifest == self._proven.manifest.digest
            return Obstacle.OTHER_VERSION if is_version else Obstacle.OTHER_CLASS
        if not case.is_across:
            return None
        return Obstacle.NO_ANSWERS if self._find_answers(case) is None else None

    def run(self, case: Case) -> Rerun:
        """Run a case without an obstacle again; twice if the result differs from the decision.

        Raises CannotJudgeError, and ValueError if the engine cannot take the question.
        """
        found = self._compute(case)
        if found.output != case.decision and self._compute(case) != found:
            raise _contradicts_itself()
        return found

    def check(self, class_index: int, question: Question, output: Output) -> Verdict:
        """Whether a peer of a class gives this answer. Raises CannotJudgeError.

        In this machine's class it must have the same bits, and an answer that has not is computed a second time. In
        another class of the model the referee measures it. Raises ValueError if the engine cannot take the question.
        """
        other, own = self._network.classes[class_index], self._proven.manifest.digest
        if class_index != self._proven.index and (other.across is None or other.manifest != own):
            raise CannotJudgeError(
                f"this machine cannot tell what a peer of class {other.name!r} answers",
                "run it on a machine of that class",
            )
        if question.manifest != own:
            raise CannotJudgeError(
                f"the answer is of another version of the model: its manifest is {question.manifest.hex()}",
                "only the model with which a line begins can be run again",
            )
        if class_index == self._proven.index:
            wanted = output.digest(question.id)
            found = self._engine.answer(question.ask).output.digest(question.id)
            if found != wanted and self._engine.answer(question.ask).output.digest(question.id) != found:
                raise _contradicts_itself()
            return Verdict.MATCH if found == wanted else Verdict.MISMATCH
        assert other.across is not None
        return verdict(measure_answer(self._get_referee(), question, output), other.across)

    def _compute(self, case: Case) -> Rerun:
        audit, params = case.audit, self._network.params
        slot = owed_slot(case.duty, audit.slot, params)
        if slot is None:
            raise ValueError("the challenger did not owe this slot")
        engine = self._get_referee() if case.is_across else self._engine
        prompt = tuple(engine.write_prompt(slot.prompt_seed, slot.prompt_tokens(params)))
        question = derive_question(self._network, case.classes[0], slot, prompt, audit.challenger)
        if question.id != audit.question:
            return Rerun(UNDERIVABLE)
        if not case.is_across:
            return Rerun(engine.answer(question.ask).output.digest(question.id))
        outputs = self._find_answers(case)
        assert outputs is not None  # else there is an obstacle
        measures = tuple(None if output is None else measure_answer(engine, question, output) for output in outputs)
        return Rerun(verdict_digest(question.id, measures), measures)

    def _get_referee(self) -> Engine:
        """The referee; its golden answers are compared first, if the manifest has some. Raises CannotJudgeError."""
        if self._referee is None:
            referee = self._open_referee()
            golden = self._proven.manifest.golden
            wanted = golden.of(referee.info.engine, referee.info.numeric_path)
            if wanted is not None and answer_golden(referee, golden.questions) != wanted.answers:
                raise CannotJudgeError(
                    f"the referee {referee.info.engine} does not give its golden answers on this machine",
                    "compare the weights with the manifest, or judge on another machine",
                )
            self._referee = referee
        return self._referee


def _contradicts_itself() -> CannotJudgeError:
    return CannotJudgeError(
        "this machine gave two answers to one question, so it judges nobody",
        "test its memory and processor; 'p2pverify model selftest' shows whether its answers are right",
    )


def all_fit(audit: Audit, outputs: Outputs) -> bool:
    """Whether there is the right answer for each receipt of an audit, and none for peers without a receipt."""
    return len(outputs) == len(audit.asked) and all(
        output is None if asked.receipt is None else output is not None and fits(output, asked, audit)
        for asked, output in zip(audit.asked, outputs, strict=True)
    )
