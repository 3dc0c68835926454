"""The forward pass of a llama-architecture model in exact arithmetic, with a cache of keys and values.

Every sum of more than two numbers is a sum of integers that float64 (or, in `linear`, float32) holds exactly:

- root mean square: numbers of 21 bits, relative to the row's largest; each square is at most 2^42, a sum of 2048
  squares at most 2^53;
- queries, keys, values: multiples of 2^-14 up to 512 in magnitude (larger numbers saturate), so integers up to 2^23; a
  query times a key is a sum of 64 (at most 128) products, at most 2^53;
- attention: weights relative to the largest, in multiples of 2^-20, so integers up to 2^20; a sum over 1024 positions
  is at most 2^30, times values up to 2^23.

All other operations are on single numbers, and IEEE 754 fixes their results. A row depends only on rows before it. So
prefill and decoding give the same bits in batches of any size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.exact.linear import Linear, largest_of
from p2pverify.engine.portable import exp, rotations

SQUARE_BITS = 21
FIXED = 2.0**14
FIXED_MAX = 2.0**23
SHARE = 2.0**20
MASKED = -1000.0
ROWS = 32  # rows that pass a layer together; their numbers fit into the processor's L2 cache
WIDTH_MAX, HEAD_MAX, CONTEXT_MAX = 2048, 128, 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """The model's sizes and constants."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    context_tokens: int
    epsilon: float
    rope_base: float


@dataclass(frozen=True, slots=True)
class Layer:
    attention_norm: Floats
    query_key_value: Linear
    attention_output: Linear
    feed_forward_norm: Floats
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, slots=True)
class Weights:
    shape: Shape
    embedding: Linear
    layers: tuple[Layer, ...]
    output_norm: Floats
    output: Linear

    @property
    def matrices(self) -> Iterator[Linear]:
        yield self.output
        for layer in self.layers:
            yield from (layer.query_key_value, layer.attention_output, layer.gate_up, layer.down)


class Model:
    """One sequence's keys and values over shared weights. Not thread-safe."""

    def __init__(self, weights: Weights) -> None:
        shape = weights.shape
        self.weights = weights
        self._cos, self._sin = rotations(shape.rope_base, shape.head_width // 2, shape.context_tokens)
        # The system allocates this memory only when it is first used.
        size = (shape.layers, shape.key_heads, shape.context_tokens, shape.head_width)
        self._keys, self._values = np.empty(size), np.empty(size)
        self._scratch = np.empty(ROWS * max(matrix.products for matrix in weights.matrices), np.float32)

    def forward(self, tokens: Sequence[int], start: int) -> Floats:
        """Run `tokens`, the first of which has position `start`: hidden states (tokens, width)."""
        x = np.stack([self.weights.embedding.row(token) for token in tokens])
        for number, layer in enumerate(self.weights.layers):
            for at in range(0, len(x), ROWS):
                self._run(number, layer, x[at : at + ROWS], start + at)
        return x

    def logits(self, x: Floats) -> Iterator[NDArray[np.float32]]:
        """The logits (vocab_tokens,) of each hidden state, rounded to float32."""
        for at in range(0, len(x), ROWS):
            normed = self._norm(x[at : at + ROWS], self.weights.output_norm)
            yield from self._apply(self.weights.output, normed).astype(np.float32)

    def _run(self, number: int, layer: Layer, x: Floats, start: int) -> None:
        """Run `x` (rows, width) through a layer, in place."""
        mixed = self._attention(number, layer, self._norm(x, layer.attention_norm), start)
        x += self._apply(layer.attention_output, mixed)
        both = self._apply(layer.gate_up, self._norm(x, layer.feed_forward_norm))
        half = both.shape[1] // 2
        gate, up = both[:, :half], both[:, half:]
        up *= gate
        up /= 1.0 + exp(-gate)
        x += self._apply(layer.down, up)

    def _apply(self, matrix: Linear, x: Floats) -> Floats:
        return matrix.apply(x, self._scratch)

    def _norm(self, x: Floats, factors: Floats) -> Floats:
        largest = largest_of(x)
        whole = np.rint(x * (2.0**SQUARE_BITS / largest))
        whole *= whole
        unit = largest * 2.0**-SQUARE_BITS
        square = whole.sum(axis=1, keepdims=True) * (unit * unit) / x.shape[1]
        normed: Floats = x * (1.0 / np.sqrt(square + self.weights.shape.epsilon)) * factors
        return normed

    def _attention(self, number: int, layer: Layer, x: Floats, start: int) -> Floats:
        shape = self.weights.shape
        rows, end = len(x), start + len(x)
        repeat = shape.heads // shape.key_heads
        split = [shape.heads * shape.head_width, (shape.heads + shape.key_heads) * shape.head_width]
        query, key, value = np.split(self._apply(layer.query_key_value, x), split, axis=1)
        keys, values = self._keys[number, :, :end], self._values[number, :, :end]
        keys[:, start:] = fixed(self._rotate(key, start)).transpose(1, 0, 2)
        values[:, start:] = fixed(value.reshape(rows, shape.key_heads, shape.head_width)).transpose(1, 0, 2)
        queries = fixed(self._rotate(query, start)).reshape(rows, shape.key_heads, repeat, shape.head_width)
        by_head = queries.transpose(1, 2, 0, 3).reshape(shape.key_heads, repeat * rows, shape.head_width)
        scores = by_head @ keys.transpose(0, 2, 1)
        scores *= 1.0 / (FIXED * FIXED * math.sqrt(shape.head_width))
        scores = scores.reshape(shape.key_heads, repeat, rows, end)
        if rows > 1:
            scores[..., np.arange(end)[None] > np.arange(start, end)[:, None]] = MASKED
        scores -= scores.max(axis=-1, keepdims=True)
        shares = exp(scores)
        shares *= SHARE
        np.rint(shares, out=shares)
        total = shares.sum(axis=-1, keepdims=True)
        mixed = (shares.reshape(shape.key_heads, repeat * rows, end) @ values).reshape(*shares.shape[:3], -1)
        mixed /= total * FIXED
        return mixed.transpose(2, 0, 1, 3).reshape(rows, shape.heads * shape.head_width)

    def _rotate(self, x: Floats, start: int) -> Floats:
        """Rotary position embedding of neighbouring pairs: (rows, heads * head_width) to (rows, heads, head_width)."""
        rows = len(x)
        pairs = x.reshape(rows, -1, self.weights.shape.head_width // 2, 2)
        cos, sin = self._cos[start : start + rows, None], self._sin[start : start + rows, None]
        turned = np.empty_like(pairs)
        turned[..., 0] = pairs[..., 0] * cos - pairs[..., 1] * sin
        turned[..., 1] = pairs[..., 0] * sin + pairs[..., 1] * cos
        return turned.reshape(rows, -1, self.weights.shape.head_width)


def fixed(x: Floats) -> Floats:
    """Integers in units of 2^-14, cut to the range of FIXED_MAX."""
    return np.clip(np.rint(x * FIXED), -FIXED_MAX, FIXED_MAX)
