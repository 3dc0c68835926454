"""Reads ggml's K-quants: 256 weights share one or two half precision floats, and 16 or 32 of them a small factor.

The integer scale of a block is the product of both, so nothing is rounded. Every function takes the blocks of 256
(rows, blocks, bytes) and numbers them anew, in blocks of 16 or 32.
"""

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.exact.blocks import Blocks, Bytes, Floats, halves

SUPER = 256
EIGHT = np.arange(8, dtype=np.uint8)[:, None]
PAIRS = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
NIBBLES = np.array([[0], [4]], np.uint8)


def q2_k(raw: Bytes) -> Blocks:
    """From blocks of 84 bytes: 16 factors and minima of 4 bits, 256 numbers of 2 bits, two floats."""
    factors = raw[:, :, :16]
    numbers = _parts(raw[:, :, 16:80], 32, PAIRS, 3).view(np.int8) - np.int8(2)
    scales = halves(raw[:, :, 80:82])[:, :, None] * (factors & 15)
    return _blocks(numbers, scales, scales * 2 - halves(raw[:, :, 82:])[:, :, None] * (factors >> 4), 2)


def q3_k(raw: Bytes) -> Blocks:
    """From blocks of 110 bytes: third bits, 256 numbers of 2 bits, 16 factors of 6 bits, one float."""
    packed = raw[:, :, 96:108]
    low = _parts(packed[:, :, :8], 8, NIBBLES, 15)
    high = _parts(packed[:, :, 8:], 4, PAIRS, 3)
    factors = (low.reshape(high.shape) | high << 4).view(np.int8).reshape(*raw.shape[:2], 16) - np.int8(32)
    third = _parts(raw[:, :, :32], 32, EIGHT, 1).view(np.int8)
    numbers = _parts(raw[:, :, 32:96], 32, PAIRS, 3).view(np.int8) + (third - np.int8(1)) * np.int8(4)
    return _blocks(numbers, halves(raw[:, :, 108:])[:, :, None] * factors, None, 4)


def q4_k(raw: Bytes) -> Blocks:
    """From blocks of 144 bytes: two floats, 8 factors and minima of 6 bits, 256 numbers of 4 bits."""
    scales, minima = _factors(raw)
    numbers = _parts(raw[:, :, 16:], 32, NIBBLES, 15).view(np.int8) - np.int8(8)
    return _blocks(numbers, scales, minima + scales * 8, 8)


def q5_k(raw: Bytes) -> Blocks:
    """From blocks of 176 bytes: as q4_k, with 256 fifth bits before the numbers."""
    scales, minima = _factors(raw)
    fifth = _parts(raw[:, :, 16:48], 32, EIGHT, 1)
    numbers = (_parts(raw[:, :, 48:], 32, NIBBLES, 15) | fifth << 4).view(np.int8) - np.int8(16)
    return _blocks(numbers, scales, minima + scales * 16, 16)


def q6_k(raw: Bytes) -> Blocks:
    """From blocks of 210 bytes: 256 numbers of 4 lower and 2 upper bits, 16 factors of 8 bits, one float."""
    low = _parts(raw[:, :, :128], 64, NIBBLES, 15)
    high = _parts(raw[:, :, 128:192], 32, PAIRS, 3)
    numbers = (low | high << 4).view(np.int8) - np.int8(32)
    factors = np.ascontiguousarray(raw[:, :, 192:208]).view(np.int8)
    return _blocks(numbers, halves(raw[:, :, 208:])[:, :, None] * factors, None, 32)


def _parts(raw: Bytes, group: int, shifts: Bytes, mask: int) -> Bytes:
    """Small numbers in the order of the weights: in each `group` of bytes, first the bits at the first of `shifts`."""
    rows, blocks, size = raw.shape
    found = (raw.reshape(rows, blocks, size // group, 1, group) >> shifts) & np.uint8(mask)
    return found.reshape(rows, blocks, size * len(shifts))


def _factors(raw: Bytes) -> tuple[Floats, Floats]:
    """Scales and minima (rows, blocks, 8) of q4_k and q5_k."""
    first, second, third = (raw[:, :, at : at + 4] for at in (4, 8, 12))
    factors = np.concatenate([first & 63, (third & 15) | (first >> 2 & 48)], axis=2)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 2 & 48)], axis=2)
    return halves(raw[:, :, :2])[:, :, None] * factors, -halves(raw[:, :, 2:4])[:, :, None] * minima


def _blocks(numbers: NDArray[np.int8], scales: Floats, minima: Floats | None, number_max: int) -> Blocks:
    rows, blocks, count = scales.shape
    flat = (rows, blocks * count)
    return Blocks(
        numbers.reshape(*flat, SUPER // count),
        scales.reshape(flat),
        None if minima is None else minima.reshape(flat),
        number_max,
    )
