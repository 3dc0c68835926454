"""Attention in fixed point, with a memory of keys and values.

- Queries, keys and values are integers in a unit, 2^-14 as a rule. Values saturate at 2^23. Queries and keys saturate
  at 2^23, in heads wider than 128 entries at 2^22. A query times a key is a sum of at most 128 products up to 2^46, or
  of 512 products up to 2^44, so at most 2^53.
- Weights are relative to the largest, in multiples of 2^-20, so integers up to 2^20. Each part of 1024 positions is a
  sum of at most 2^30 times values up to 2^23, so at most 2^53. Parts begin at multiples of 1024 and are added in order.

Positions that a row may not see have the weight 0, so it makes no difference which of them stand in the sums. A row
depends only on rows before it. So prefill and decoding give the same bits in batches of any size.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from p2pverify.engine.exact.blocks import Floats
from p2pverify.engine.exact.devices import Device
from p2pverify.engine.portable import exp

FIXED_BITS = 14
VALUE_MAX = 2.0**23
NARROW_MAX, HEAD_MAX = 128, 512
SHARE = 2.0**20
PART = 1024


class Attention:
    """One sequence's keys and values in all layers. Not thread-safe."""

    def __init__(
        self, layers: int, key_heads: int, head_width: int, positions: int, fixed_bits: int, device: Device
    ) -> None:
        """`fixed_bits` is the unit's negative power of two. `device` holds keys and values and multiplies with them."""
        self._unit = 2.0**fixed_bits
        self._limit = limit(head_width)
        self._scale = 1.0 / (self._unit * self._unit * math.sqrt(head_width))
        self._device = device
        self._keys, self._values = (device.empty(layers, key_heads, positions, head_width) for _ in "kv")

    def run(self, layer: int, query: Floats, key: Floats, value: Floats, start: int, window: int) -> Floats:
        """Remember keys and values, and mix the values that the queries see: (rows, heads * head_width).

        query is (rows, heads, head_width), key and value (rows, key_heads, head_width); the first row has position
        `start`. A row sees the `window` newest positions up to its own, or all of them if `window` is 0.
        """
        device = self._device
        rows, heads, head_width = query.shape
        key_heads, end = key.shape[1], start + rows
        repeat = heads // key_heads
        self._keys[layer, :, start:end] = device.put(fixed(key, self._unit, self._limit).transpose(1, 0, 2))
        self._values[layer, :, start:end] = device.put(fixed(value, self._unit, VALUE_MAX).transpose(1, 0, 2))
        first = max(0, start - window + 1) if window else 0
        keys, values = self._keys[layer, :, first:end], self._values[layer, :, first:end]
        queries = fixed(query, self._unit, self._limit).reshape(rows, key_heads, repeat, head_width)
        by_head = queries.transpose(1, 2, 0, 3).reshape(key_heads, repeat * rows, head_width)
        scores = device.get(device.put(by_head) @ keys.swapaxes(1, 2))
        scores *= self._scale
        scores = scores.reshape(key_heads, repeat, rows, end - first)
        if rows > 1:
            behind = np.arange(start, end)[:, None] - np.arange(first, end)
            scores[..., (behind < 0) | (behind >= window) if window else behind < 0] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        shares = exp(scores)
        shares *= SHARE
        np.rint(shares, out=shares)
        total = shares.sum(axis=-1, keepdims=True)
        by_head = shares.reshape(key_heads, repeat * rows, end - first)
        mixed: Floats = device.get(_mixed(device.put(by_head), values, first))
        mixed = mixed.reshape(key_heads, repeat, rows, head_width)
        mixed /= total * self._unit
        return mixed.transpose(2, 0, 1, 3).reshape(rows, heads * head_width)


def limit(head_width: int) -> float:
    """The largest magnitude of the integers of queries and keys."""
    return VALUE_MAX if head_width <= NARROW_MAX else VALUE_MAX / 2


def _mixed(shares: Any, values: Any, first: int) -> Any:
    """shares (key_heads, rows, positions) times values (key_heads, positions, head_width), part by part.

    Both are on the same device.
    """
    positions = shares.shape[2]
    cuts = [0, *range(PART - first % PART, positions, PART), positions]
    mixed = shares[:, :, : cuts[1]] @ values[:, : cuts[1]]
    for at, end in pairwise(cuts[1:]):
        mixed += shares[:, :, at:end] @ values[:, at:end]
    return mixed


def fixed(x: Floats, unit: float, limit: float) -> Floats:
    """Integers in units of 1 / `unit`, cut to the range from -limit to limit."""
    return np.clip(np.rint(x * unit), -limit, limit)
