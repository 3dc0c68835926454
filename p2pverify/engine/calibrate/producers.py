"""Runs an engine in its own process, so that several builds of llama.cpp can answer.

A process can load only one of the npm package's builds. Also, the judge can judge while the engine answers.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Self

from p2pverify.core.contract.golden import GoldenAnswer
from p2pverify.core.contract.output import Ask, Output
from p2pverify.engine.calibrate.questions import Posed
from p2pverify.engine.llama import variants
from p2pverify.engine.registry import EngineOpening, open_engine, open_referee
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, ENGINES, EngineKind, referee_for
from p2pverify.node.engines.selftest import answer_golden
from p2pverify.node.ports import Engine, ModelInfo

EXACT = "exact"

Make = Callable[[], Engine]
"""Opens an engine. It is pickled, so it must be a module's function or a `functools.partial` of one."""


def open_path(path: str, weights: Path | None = None, kind: EngineKind = DEFAULT_ENGINE) -> Engine:
    """The engine of a path: "exact" is the referee, others are variants of an engine. Raises EngineUnavailable."""
    if path == EXACT:
        return open_referee(referee_for(kind), EngineOpening(weights=weights))
    return open_engine(kind, EngineOpening(weights=weights, variant=path))


def at_hand(kind: EngineKind = DEFAULT_ENGINE) -> list[str]:
    """The default paths that can run here: the wheel's, and the npm package's paths if it is installed."""
    return [*(path for path in ENGINES[kind].paths if kind != "llama" or _runs_here(path)), EXACT]


def _runs_here(variant: str) -> bool:
    build, _ = variants.parse(variant)
    return build == variants.WHEEL or (variants.installed() and not variants.missing(build))


class Producer:
    """Answers questions in another process. Use as a context manager."""

    def __init__(self, make: Make) -> None:
        """Start the process and open the engine there. Raises EngineUnavailable, or any other error of `make`."""
        # A fork would copy the judge's threads and libraries.
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent)
        try:
            self.info: ModelInfo = self._pool.submit(_open, make).result()
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def answers(self, questions: Sequence[Posed]) -> Iterator[Output]:
        """The answers in order. The process works ahead of the reader."""
        return self._pool.map(_answer, questions)

    def golden(self, questions: Sequence[Ask]) -> tuple[GoldenAnswer, ...]:
        """The answers to golden questions. Blocks for seconds."""
        return self._pool.submit(_golden, tuple(questions)).result()


_engines: list[Engine] = []  # the engine of this process, if it is a producer's process


def _open(make: Make) -> ModelInfo:
    _engines.append(make())
    return _engines[0].info


def end_with_parent() -> None:
    """Let this process of a pool end with its parent: a parent that is killed does not shut its pool down."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(question: Posed) -> Output:
    return _engines[0].answer(question).output


def _golden(questions: tuple[Ask, ...]) -> tuple[GoldenAnswer, ...]:
    return answer_golden(_engines[0], questions)
