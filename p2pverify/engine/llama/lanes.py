"""Several threads share one context: each has a lane, and what they ask for at the same time is evaluated together.

Evaluating a batch takes less time than evaluating its parts: with the bundled model, 8 tokens take the time of 5 or 6.
A thread that finds the context free waits a moment for the jobs of the other lanes, which pick their tokens meanwhile,
and then evaluates what all of them want. Bits do not depend on the batch (see `context`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.llama.context import LanePiece, LlamaContext

Rows = Callable[[Sequence[int], int], Iterator[NDArray[np.float32]]]
"""`rows(tokens, first)`: logits (vocab_tokens,) after each token of tokens[first:]. `tokens` is a whole sequence."""

_GATHER_S = 0.01  # to pick a token takes about 1 ms, and to evaluate one 10 to 20 ms


@dataclass(slots=True)
class _Wish:
    piece: LanePiece
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    error: Exception | None = None
    is_done: bool = False


class Lanes:
    """The lanes of a context. Any thread may call, and waits if all lanes are taken."""

    def __init__(self, context: LlamaContext) -> None:
        self._context = context
        # With several lanes a long prompt leaves room for the others in each batch.
        self._piece_tokens = context.batch_tokens if context.lanes == 1 else max(1, context.batch_tokens // 2)
        self._changed = threading.Condition()
        self._free = list(range(context.lanes))  # the one that was given back last comes last
        self._wishes: list[_Wish] = []
        self._is_evaluating = False

    @contextmanager
    def taken(self, tokens: Sequence[int]) -> Iterator[Rows]:
        """A lane for a sequence that begins with `tokens`: of the free lanes, that which holds most of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            # A lane that holds none of them is taken from those that were given back longest ago.
            lane = max(self._free, key=lambda each: common_prefix(self._context.held(each), tokens))
            self._free.remove(lane)
        try:
            yield lambda tokens, first: self._rows(lane, tokens, first)
        finally:
            with self._changed:
                self._free.append(lane)
                self._changed.notify_all()

    def _rows(self, lane: int, tokens: Sequence[int], first: int) -> Iterator[NDArray[np.float32]]:
        context = self._context
        if not 0 <= first < len(tokens) <= context.tokens_max:
            raise ValueError(f"{len(tokens)} tokens do not fit a context of {context.tokens_max}")
        kept = common_prefix(context.held(lane), tokens[:first])
        if kept < len(context.held(lane)):
            with self._changed:
                self._changed.wait_for(lambda: not self._is_evaluating)
                context.model.check_open()
                context.keep(lane, kept)
        for start in range(kept, len(tokens), self._piece_tokens):
            part = tokens[start : start + self._piece_tokens]
            yield from self._evaluated(LanePiece(lane, part, min(max(first - start, 0), len(part))))

    def _evaluated(self, piece: LanePiece) -> list[NDArray[np.float32]]:
        """The logits that a piece asks for. The calling thread evaluates, or another one does it for this one."""
        wish = _Wish(piece)
        with self._changed:
            self._wishes.append(wish)
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: wish.is_done or not self._is_evaluating)
                if wish.is_done:
                    break
                self._is_evaluating = True
                self._changed.wait_for(self._all_wish, _GATHER_S)
                batch = self._take_batch()
            self._evaluate(batch)
        if wish.error is not None:
            raise wish.error
        return wish.rows

    def _all_wish(self) -> bool:
        return len(self._wishes) + len(self._free) >= self._context.lanes

    def _take_batch(self) -> list[_Wish]:
        """The oldest wishes that fit one batch."""
        room = self._context.batch_tokens
        count = 0
        for wish in self._wishes:
            room -= len(wish.piece.tokens)
            if room < 0:
                break
            count += 1
        batch, self._wishes = self._wishes[:count], self._wishes[count:]
        return batch

    def _evaluate(self, batch: list[_Wish]) -> None:
        found, error = None, None
        try:
            found = self._context.evaluate([wish.piece for wish in batch])
        except Exception as raised:  # noqa: BLE001 - every thread of this batch gets it
            error = raised
        with self._changed:
            for index, wish in enumerate(batch):
                wish.rows, wish.error, wish.is_done = found[index] if found else [], error, True
            self._is_evaluating = False
            self._changed.notify_all()


def common_prefix(held: Sequence[int], tokens: Sequence[int]) -> int:
    """The number of equal tokens at the start of both sequences."""
    for place, (mine, theirs) in enumerate(zip(held, tokens, strict=False)):
        if mine != theirs:
            return place
    return min(len(held), len(tokens))
