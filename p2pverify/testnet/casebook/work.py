"""The tasks of the book's worker processes. The referee stays open between tasks, because it takes long to load."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from p2pverify.core.contract.output import Output
from p2pverify.engine.calibrate.questions import Posed
from p2pverify.engine.registry import open_referee
from p2pverify.node.ports import Engine, ModelInfo
from p2pverify.testnet.casebook.answers import Bench, JudgedAnswer, Subject, answer_all, ask_all, judge_all


@dataclass(frozen=True, slots=True)
class Prepared:
    """The questions, and an honest peer's answers on the default numeric path."""

    questions: tuple[Posed, ...]
    right: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A subject's model description, its judged answers, and the passes through the real model that they took.

    An honest peer's answers to the same questions take `honest_passes`.
    """

    info: ModelInfo
    judged: tuple[JudgedAnswer, ...]
    passes: int
    honest_passes: int


@lru_cache(maxsize=1)
def _referee(name: str) -> Engine:
    return open_referee(name)


def prepare(bench: Bench) -> Prepared:
    """The questions to all subjects, and the right answers."""
    questions = ask_all(bench, _referee(bench.referee))
    return Prepared(questions, answer_all(bench, Subject(), questions).outputs)


def judge_apart(bench: Bench, subject: Subject) -> Witnessed:
    """The judged answers of a subject to questions of its own: for long answers, or of clients."""
    return judge(bench, subject, prepare(bench))


def judge(bench: Bench, subject: Subject, prepared: Prepared, warm: Bench | None = None) -> Witnessed:
    """The judged answers of a subject. It first answers the questions of `warm`, which are not judged."""
    before: Sequence[Posed] = () if warm is None else ask_all(warm, _referee(bench.referee))
    given = answer_all(bench, subject, [*before, *prepared.questions])
    passes = sum(given.passes[len(before) :])
    return _judged(bench, given.info, given.outputs[len(before) :], prepared, passes)


def judge_told(bench: Bench, info: ModelInfo, told: Sequence[Output], prepared: Prepared) -> Witnessed:
    """Judge answers that an honest engine gave in another process. They took one pass for each token."""
    return _judged(bench, info, told, prepared, sum(len(one.tokens) for one in told))


def _judged(bench: Bench, info: ModelInfo, told: Sequence[Output], prepared: Prepared, passes: int) -> Witnessed:
    judged = judge_all(_referee(bench.referee), prepared.questions, told, prepared.right)
    return Witnessed(info, judged, passes, sum(len(one.tokens) for one in prepared.right))
