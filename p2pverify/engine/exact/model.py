"""The forward pass in exact arithmetic. `shape` says what differs between architectures.

Every sum of more than two numbers is a sum of integers that float64 (or, in `linear`, float32) holds exactly: see
`linear`, `norms` and `attention`. All other operations are on single numbers, and IEEE 754 fixes their results. A row
depends only on rows before it. So prefill and decoding give the same bits in batches of any size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.exact.attention import Attention
from p2pverify.engine.exact.blocks import Floats
from p2pverify.engine.exact.devices import Device, open_device
from p2pverify.engine.exact.linear import Linear
from p2pverify.engine.exact.norms import rms_norm
from p2pverify.engine.exact.rope import Rope
from p2pverify.engine.exact.shape import Shape
from p2pverify.engine.portable import exp

ROWS = 32  # rows that pass a layer together; their numbers fit into the processor's L2 cache
# Twice the root of 2 / pi, and the factor of the cube, of GELU's approximation with tanh.
GELU, GELU_CUBE = 1.5957691216057308, 0.044715

Joined = tuple[Linear, ...]
"""Matrices with the same inputs, whose outputs stand one after the other."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer; None is what the architecture does not have."""

    attention_norm: Floats
    query_key_value: Joined
    bias: Floats | None  # of queries, keys and values
    query_norm: Floats | None
    key_norm: Floats | None
    attention_output: Joined
    attention_post_norm: Floats | None
    feed_forward_norm: Floats
    gate_up: Joined
    down: Joined
    feed_forward_post_norm: Floats | None


@dataclass(frozen=True, slots=True)
class Weights:
    shape: Shape
    embedding: Linear
    layers: tuple[Layer, ...]
    output_norm: Floats
    output: Joined
    fixed_bits: int  # the unit of queries, keys and values: see `attention`
    slower: Floats  # divides the rotary angles of layers that see all positions (head_width / 2,)

    @property
    def vocab_tokens(self) -> int:
        return sum(matrix.outputs for matrix in self.output)

    @property
    def matrices(self) -> Iterator[Linear]:
        yield from self.output
        for layer in self.layers:
            for joined in (layer.query_key_value, layer.attention_output, layer.gate_up, layer.down):
                yield from joined


class Model:
    """One sequence's keys and values over shared weights. Not thread-safe."""

    def __init__(self, weights: Weights, context_tokens: int, device: Device | None = None) -> None:
        """Move the weights to a device: numpy, if none is given. Raises EngineUnavailable."""
        shape = weights.shape
        self.weights = weights
        self._device = open_device("") if device is None else device
        for matrix in weights.matrices:
            matrix.on(self._device)
        turns = [(shape.rope_base, weights.slower)]
        if shape.window:
            turns.append((shape.local_rope_base, np.ones_like(weights.slower)))
        self._ropes = [
            Rope(base, shape.head_width, context_tokens, apart=shape.architecture.apart, slower=slower)
            for base, slower in turns
        ]
        self._memory = Attention(
            shape.layers, shape.key_heads, shape.head_width, context_tokens, weights.fixed_bits, self._device
        )

    def forward(self, tokens: Sequence[int], start: int) -> Floats:
        """Run `tokens`, the first of which has position `start`: hidden states (tokens, width)."""
        x = np.stack([self.weights.embedding.row(token) for token in tokens])
        x *= self.weights.shape.embedding_scale
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
        x += self._post(self._apply(layer.attention_output, mixed), layer.attention_post_norm)
        both = self._apply(layer.gate_up, self._norm(x, layer.feed_forward_norm))
        half = both.shape[1] // 2
        gate, up = both[:, :half], both[:, half:]
        up *= gate
        if self.weights.shape.architecture.gelu:
            gate = GELU * (gate + GELU_CUBE * (gate * gate * gate))
        up /= 1.0 + exp(-gate)
        x += self._post(self._apply(layer.down, up), layer.feed_forward_post_norm)

    def _attention(self, number: int, layer: Layer, x: Floats, start: int) -> Floats:
        shape = self.weights.shape
        rows, local = len(x), shape.local(number)
        all_three = self._apply(layer.query_key_value, x)
        if layer.bias is not None:
            all_three = all_three + layer.bias
        heads = all_three.reshape(rows, -1, shape.head_width)
        query, key, value = np.split(heads, [shape.heads, shape.heads + shape.key_heads], axis=1)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = self._head_norm(query, layer.query_norm), self._head_norm(key, layer.key_norm)
        rope = self._ropes[local]
        query, key = rope.turn(query, start), rope.turn(key, start)
        return self._memory.run(number, query, key, value, start, shape.window if local else 0)

    def _apply(self, joined: Joined, x: Floats) -> Floats:
        found = [matrix.apply(x, self._device) for matrix in joined]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def _norm(self, x: Floats, factors: Floats) -> Floats:
        return rms_norm(x, factors, self.weights.shape.epsilon)

    def _head_norm(self, x: Floats, factors: Floats) -> Floats:
        return self._norm(x.reshape(-1, x.shape[-1]), factors).reshape(x.shape)

    def _post(self, x: Floats, factors: Floats | None) -> Floats:
        return x if factors is None else self._norm(x, factors)
