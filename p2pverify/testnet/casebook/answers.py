"""Honest and false answers of real engines to held-out questions, judged like answers in a network.

Within a class, digests are compared. Across classes, the referee scores each answer. The questions have their own
purpose, so no threshold was fitted to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.lengths import long_length
from p2pverify.core.contract.output import Output
from p2pverify.core.inference.compare import Measure, Verdict, as_usual, verdict
from p2pverify.core.inference.pooled import evidence
from p2pverify.engine.calibrate.producers import open_path
from p2pverify.engine.calibrate.questions import Posed, QuestionShape, pose
from p2pverify.engine.cheats.base import CheatingEngine, CountedEngine
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.rules import KnownRules
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.node.engines.kinds import EngineKind, referee_for
from p2pverify.node.ports import Engine, ModelInfo

PURPOSE = "cheat book"


class AuditOutcome(StrEnum):
    """The outcome of one audit for the asked peer."""

    AGREEMENT = "agreement"
    DISSENT = "dissent"
    NOTHING = "nothing"


class Audited(NamedTuple):
    """What one audit adds to the tests of the asked peer: its outcome, and its evidence in the pooled test.

    The evidence is in 1/1024 nat, None within a class and for a class without a pooled test.
    """

    outcome: AuditOutcome
    evidence: int | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """The setup for answers. `engine` is "llama" or "toy"; `workdir` is the folder for the weights of cheats.

    `across` are the thresholds that cheats know of. With `long_tokens`, all answers are long, and may have so many.
    With `client_text`, all questions are those of clients, with this text.
    """

    engine: EngineKind
    workdir: Path
    seed: int
    questions: int
    shape: QuestionShape
    across: Across | None = None
    long_tokens: int = 0
    client_text: str = ""

    @property
    def referee(self) -> str:
        return referee_for(self.engine)

    @property
    def rules(self) -> KnownRules:
        """What the cheats know: the usual length of an answer."""
        length = self.shape.answer_tokens
        return KnownRules(self.across, self.shape.prompt_tokens, range(length, length + 1))

    def open(self, variant: str = "") -> Engine:
        """An honest engine, by default on the default numeric path. "exact" is the referee's path."""
        return open_path(variant, kind=self.engine)


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One judged answer.

    `same` says whether its digest equals the digest of the honest peer in its class. `measure` is the referee's
    measure, and `margins` are the margins of its tokens in micronats.
    """

    greedy: bool
    same: bool
    measure: Measure
    margins: tuple[int, ...]

    def in_class(self) -> Audited:
        return Audited(AuditOutcome.AGREEMENT if self.same else AuditOutcome.DISSENT)

    def across(self, bounds: Across, usual_tokens: int | None = None) -> Audited:
        """What it adds across classes. One longer than `usual_tokens` is judged by its mean margin, and not pooled."""
        if usual_tokens is None or self.measure.count <= usual_tokens:
            return audited(self.measure, bounds)
        return audited(as_usual(self.measure, usual_tokens), bounds)._replace(evidence=None)


_OUTCOMES = {
    Verdict.MATCH: AuditOutcome.AGREEMENT,
    Verdict.MISMATCH: AuditOutcome.DISSENT,
    Verdict.INCONCLUSIVE: AuditOutcome.NOTHING,
}


def audited(found: Measure, bounds: Across) -> Audited:
    """What an answer that a referee measured adds to the tests."""
    return Audited(_OUTCOMES[verdict(found, bounds)], evidence(found, bounds))


@dataclass(frozen=True, slots=True)
class Given:
    """A subject's model description, its answers, and the passes through the real model that each answer took."""

    info: ModelInfo
    outputs: tuple[Output, ...]
    passes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """The engine that answers: an honest engine of a numeric path, or a cheat around one."""

    variant: str = ""
    cheat: CheatSpec | None = None

    @property
    def name(self) -> str:
        return self.variant if self.cheat is None else self.cheat.name


def ask_all(bench: Bench, referee: Engine) -> tuple[Posed, ...]:
    """The held-out questions. The referee writes the prompts, as in audits across classes, or clients do."""

    def posed_by(number: int) -> Posed:
        told = f"{bench.client_text} {bench.seed} {number}"
        prompt = referee.encode_chat(told) if bench.client_text else None
        return pose(referee, PURPOSE, bench.seed, number, bench.shape, prompt)

    posed = map(posed_by, range(bench.questions))
    return tuple(_lengthened(bench, one) if bench.long_tokens else one for one in posed)


def _lengthened(bench: Bench, question: Posed) -> Posed:
    """The question with a length of the tail, which follows from its key."""
    number = int.from_bytes(question.sampler_key[:8], "big")
    return replace(question, tokens_max=long_length(number, bench.shape.answer_tokens, bench.long_tokens))


def answer_all(bench: Bench, subject: Subject, questions: Sequence[Posed]) -> Given:
    """The answers of a subject. Raises EngineUnavailable if the subject cannot run here."""
    engine = bench.open(subject.variant)
    answering: CheatingEngine | CountedEngine = (
        CountedEngine(engine)
        if subject.cheat is None
        else make_cheat(subject.cheat, engine, bench.workdir, rules=bench.rules)
    )
    outputs, passes = [], []
    try:
        for question in questions:
            before = answering.passes
            outputs.append(answering.answer(question).output)
            passes.append(answering.passes - before)
        return Given(answering.info, tuple(outputs), tuple(passes))
    finally:
        answering.close()


def judge_all(
    referee: Engine, questions: Sequence[Posed], told: Sequence[Output], right: Sequence[Output]
) -> tuple[JudgedAnswer, ...]:
    """Judge the answers `told` in their class, by the honest peer's answers `right`, and by the referee."""
    return tuple(
        judge(referee, question, one, other) for question, one, other in zip(questions, told, right, strict=True)
    )


def judge(referee: Engine, question: Posed, told: Output, right: Output) -> JudgedAnswer:
    """Judge one answer."""
    scored = referee.score(question, told.tokens)
    return JudgedAnswer(
        question.temperature_milli == 0, told == right, question.measure_of(told, scored), scored.deficits
    )
