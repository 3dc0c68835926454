"""Honest and false answers of real engines to held-out questions, judged as the network judges them.

In class digests are compared; across classes the referee scores each answer. The questions are of a purpose of their
own, so that no threshold was chosen with them at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from p2pverify.core.contract.network import Across
from p2pverify.core.inference.compare import Measure, Verdict, verdict
from p2pverify.engine.calibrate.producers import open_path
from p2pverify.engine.calibrate.questions import Posed, QuestionShape, pose
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.engines.kinds import EngineKind, referee_for
from p2pverify.node.ports import Engine, Generated, ModelInfo

PURPOSE = "cheat book"


class AuditOutcome(StrEnum):
    """What one audit comes to for the peer that was asked."""

    AGREEMENT = "agreement"
    DISSENT = "dissent"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Bench:
    """What answers are made with. `workdir` is for the weights of cheats."""

    engine: EngineKind
    workdir: Path
    seed: int
    questions: int
    shape: QuestionShape

    @property
    def referee(self) -> str:
        return referee_for(self.engine)

    def open(self, variant: str = "") -> Engine:
        """An honest engine, by default in the usual numeric path; "exact" is the referee's own."""
        return open_path(variant, kind=self.engine)


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One answer: whether its digest is that of the honest peer in its class, and what the referee says of it.

    `margins` are those of its tokens, in micronats.
    """

    greedy: bool
    same: bool
    measure: Measure
    margins: tuple[int, ...]

    def in_class(self) -> AuditOutcome:
        return AuditOutcome.AGREEMENT if self.same else AuditOutcome.DISSENT

    def across(self, bounds: Across) -> AuditOutcome:
        return OUTCOMES[verdict(self.measure, bounds)]


OUTCOMES = {
    Verdict.MATCH: AuditOutcome.AGREEMENT,
    Verdict.MISMATCH: AuditOutcome.DISSENT,
    Verdict.INCONCLUSIVE: AuditOutcome.NOTHING,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Who answers: an honest engine of a numeric path, or a cheat around one."""

    variant: str = ""
    cheat: CheatSpec | None = None

    @property
    def name(self) -> str:
        return self.variant if self.cheat is None else self.cheat.name


def ask_all(bench: Bench, referee: Engine) -> tuple[Posed, ...]:
    """The held-out questions. The referee writes the prompts, as it does for audits across classes."""
    return tuple(pose(referee, PURPOSE, bench.seed, number, bench.shape) for number in range(bench.questions))


def answer_all(bench: Bench, subject: Subject, questions: Sequence[Posed]) -> tuple[ModelInfo, tuple[Generated, ...]]:
    """What a subject says that it is, and its answers. Raises EngineUnavailable if it cannot be had here."""
    engine = bench.open(subject.variant)
    if subject.cheat is not None:
        engine = make_cheat(subject.cheat, engine, bench.workdir)
    try:
        return engine.info, tuple(question.put_to(engine) for question in questions)
    finally:
        engine.close()


def judge_all(
    referee: Engine, questions: Sequence[Posed], told: Sequence[Generated], right: Sequence[Generated]
) -> tuple[JudgedAnswer, ...]:
    """Judge answers in their class, where `right` are an honest peer's, and by the referee."""
    return tuple(
        judge(referee, question, one, other) for question, one, other in zip(questions, told, right, strict=True)
    )


def judge(referee: Engine, question: Posed, told: Generated, right: Generated) -> JudgedAnswer:
    """Judge one answer."""
    scored = question.scored_by(referee, told.tokens)
    same = _digested(told) == _digested(right)
    return JudgedAnswer(question.temperature_milli == 0, same, question.measure_of(told, scored), scored.deficits)


def _digested(answer: Generated) -> tuple[object, ...]:
    """What an output's digest is made of."""
    return answer.tokens, answer.finish, answer.logits_sha256
