"""What the book's worker processes do. The referee, which takes long to load, stays open from one task to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from p2pverify.engine.calibrate.questions import Posed
from p2pverify.engine.registry import open_referee
from p2pverify.node.ports import Engine, Generated, ModelInfo
from p2pverify.testnet.casebook.answers import Bench, JudgedAnswer, Subject, answer_all, ask_all, judge_all


@dataclass(frozen=True, slots=True)
class Prepared:
    """The questions, and an honest peer's answers in the usual numeric path."""

    questions: tuple[Posed, ...]
    right: tuple[Generated, ...]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a subject says that it is, and its judged answers."""

    info: ModelInfo
    judged: tuple[JudgedAnswer, ...]


@lru_cache(maxsize=1)
def _referee(name: str) -> Engine:
    return open_referee(name)


def prepare(bench: Bench) -> Prepared:
    """What all subjects are asked, and what is right."""
    questions = ask_all(bench, _referee(bench.referee))
    return Prepared(questions, answer_all(bench, Subject(), questions)[1])


def judge(bench: Bench, subject: Subject, prepared: Prepared, warm: Bench | None = None) -> Witnessed:
    """A subject's answers, judged. The questions of `warm` it is asked before; those answers are not judged."""
    before: Sequence[Posed] = () if warm is None else ask_all(warm, _referee(bench.referee))
    info, told = answer_all(bench, subject, [*before, *prepared.questions])
    return judge_told(bench, info, told[len(before) :], prepared)


def judge_told(bench: Bench, info: ModelInfo, told: Sequence[Generated], prepared: Prepared) -> Witnessed:
    """Answers that an engine gave elsewhere, judged."""
    return Witnessed(info, judge_all(_referee(bench.referee), prepared.questions, told, prepared.right))
