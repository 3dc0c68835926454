"""Threads that share a context: what they ask for at the same time is evaluated together, each in its own lane."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.llama.context import LanePiece, LlamaContext
from p2pverify.engine.llama.lanes import Lanes

WAIT_S = 10


class FakeContext:
    """A context whose logits are the sum of a lane's tokens. It notes the batches, and waits for `gate` in each."""

    batch_tokens = 8
    tokens_max = 32

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.model = SimpleNamespace(check_open=lambda: None)
        self.batches: list[list[LanePiece]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self._held: list[list[int]] = [[] for _ in range(lanes)]
        self._inside = threading.Lock()

    def held(self, lane: int) -> Sequence[int]:
        return self._held[lane]

    def keep(self, lane: int, count: int) -> None:
        del self._held[lane][count:]

    def evaluate(self, pieces: Sequence[LanePiece]) -> list[list[NDArray[np.float32]]]:
        assert self._inside.acquire(blocking=False), "two threads at a time"
        try:
            assert sum(len(piece.tokens) for piece in pieces) <= self.batch_tokens
            assert len({piece.lane for piece in pieces}) == len(pieces)
            self.batches.append(list(pieces))
            self.entered.set()
            assert self.gate.wait(WAIT_S)
            if self.error is not None:
                raise self.error
            return [self._continue(piece) for piece in pieces]
        finally:
            self._inside.release()

    def _continue(self, piece: LanePiece) -> list[NDArray[np.float32]]:
        found = []
        for place, token in enumerate(piece.tokens):
            self._held[piece.lane].append(token)
            if place >= piece.wanted:
                found.append(np.array([sum(self._held[piece.lane])], np.float32))
        return found


def lanes_of(context: FakeContext) -> Lanes:
    return Lanes(cast("LlamaContext", cast("Any", context)))


def sums(lanes: Lanes, tokens: Sequence[int], first: int) -> list[int]:
    with lanes.taken(tokens) as rows:
        return [int(row[0]) for row in rows(tokens, first)]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=20), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(0, 19),
)
def test_every_thread_gets_the_rows_of_its_own_sequence(sequences: list[list[int]], count: int, first: int) -> None:
    """Whatever the lanes hold from earlier jobs, and whoever evaluates."""
    lanes = lanes_of(FakeContext(count))

    def one(tokens: list[int]) -> tuple[list[int], list[int]]:
        start = min(first, len(tokens) - 1)
        return sums(lanes, tokens, start), [sum(tokens[: place + 1]) for place in range(start, len(tokens))]

    with ThreadPoolExecutor(count + 1) as threads:
        for found, expected in threads.map(one, sequences):
            assert found == expected


def test_what_waits_is_evaluated_together() -> None:
    """While one thread is inside the context, the wishes of the others gather, and become one batch."""
    context = FakeContext(4)
    lanes = lanes_of(context)
    context.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(sums, lanes, [1], 0)
        assert context.entered.wait(WAIT_S)
        others = [threads.submit(sums, lanes, [number], 0) for number in (2, 3, 4)]
        deadline = time.monotonic() + WAIT_S
        while len(lanes._wishes) < 3:  # the three have asked, and nobody evaluates them yet
            assert time.monotonic() < deadline
            time.sleep(0)
        context.gate.set()
        assert [each.result(WAIT_S) for each in (first, *others)] == [[1], [2], [3], [4]]
    assert [len(batch) for batch in context.batches] == [1, 3]


def test_a_long_prompt_leaves_room_for_others() -> None:
    """Its pieces take at most half of a batch, if there are other lanes."""
    context = FakeContext(2)
    assert sums(lanes_of(context), range(20), 19) == [190]
    assert [len(piece.tokens) for (piece,) in context.batches] == [4] * 5
    alone = FakeContext(1)
    assert sums(lanes_of(alone), range(20), 19) == [190]
    assert [len(piece.tokens) for (piece,) in alone.batches] == [8, 8, 4]


def test_a_job_gets_the_lane_that_holds_most_of_its_prompt() -> None:
    """The next turn of a conversation reads only what is new, and takes no other lane from those used last."""
    context = FakeContext(3)
    lanes = lanes_of(context)
    sums(lanes, [1, 2, 3, 4], 3)
    sums(lanes, [5, 6], 1)
    context.batches.clear()
    assert sums(lanes, [1, 2, 3, 4, 7, 8], 5) == [25]
    assert [list(piece.tokens) for (piece,) in context.batches] == [[7, 8]]
    assert sorted(map(list, (context.held(lane) for lane in range(3)))) == [[], [1, 2, 3, 4, 7, 8], [5, 6]]
    sums(lanes, [9], 0)
    assert [9] in [list(context.held(lane)) for lane in range(3)]
    assert [5, 6] in [list(context.held(lane)) for lane in range(3)]


def test_a_failure_reaches_every_thread_of_the_batch_and_no_other() -> None:
    context = FakeContext(2)
    lanes = lanes_of(context)
    context.error = EngineUnavailable("no memory")
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="no memory"):
            sums(lanes, [1, 2], 1)
    context.error = None
    assert sums(lanes, [1, 2], 1) == [3]


def test_who_finds_no_lane_waits() -> None:
    lanes = lanes_of(FakeContext(1))
    with ThreadPoolExecutor(1) as threads:
        with lanes.taken([1]) as rows:
            waiting = threads.submit(sums, lanes, [1, 2, 3], 2)
            assert [int(row[0]) for row in rows([1, 2], 1)] == [3]
            assert not waiting.done()
        assert waiting.result(WAIT_S) == [6]


def test_a_sequence_must_fit() -> None:
    with pytest.raises(ValueError, match="33 tokens do not fit a context of 32"):
        sums(lanes_of(FakeContext(1)), range(33), 32)
