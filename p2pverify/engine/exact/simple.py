"""Reads the quantisations with one scale for 32 weights, and plain floats.

Floats are the only weights that are rounded here, and everywhere to the same integers: 15 bits and the sign, relative
to the largest of 32 neighbours, in steps of at least 2^-24. Half precision floats have 11 bits. A product with 8 bits
at a time stays exact, so such a number is two limbs of 8 bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact.blocks import UNIT, Blocks, Bytes, halves

BLOCK = 32
# Numbers of four and five bits are counted from their middle, which halves the largest magnitude.
MIDDLE_4, MIDDLE_5 = 8, 16
LIMB = 256
FLOAT_BITS = 14  # of the largest float of a block, at most


def q4_0(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 18)."""
    return Blocks(_nibbles(raw[:, :, 2:], MIDDLE_4), halves(raw[:, :, :2]), None, MIDDLE_4)


def q4_1(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 20)."""
    scales = halves(raw[:, :, :2])
    return Blocks(_nibbles(raw[:, :, 4:], MIDDLE_4), scales, halves(raw[:, :, 2:4]) + scales * MIDDLE_4, MIDDLE_4)


def q5_0(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 22)."""
    return Blocks(_five_bits(raw[:, :, 2:]), halves(raw[:, :, :2]), None, MIDDLE_5)


def q5_1(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 24)."""
    scales = halves(raw[:, :, :2])
    return Blocks(_five_bits(raw[:, :, 4:]), scales, halves(raw[:, :, 2:4]) + scales * MIDDLE_5, MIDDLE_5)


def q8_0(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 34)."""
    return Blocks(raw[:, :, 2:].view(np.int8), halves(raw[:, :, :2]), None, 128)


def f16(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 64)."""
    return _floats(np.ascontiguousarray(raw).view("<f2"))


def bf16(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 64): the upper halves of 32-bit floats."""
    upper = np.ascontiguousarray(raw).view("<u2").astype(np.uint32)
    return _floats((upper << 16).view(np.float32))


def f32(raw: Bytes) -> Blocks:
    """From blocks (rows, blocks, 128)."""
    return _floats(np.ascontiguousarray(raw).view("<f4"))


def _nibbles(raw: Bytes, middle: int) -> NDArray[np.int8]:
    numbers = np.concatenate([raw & 15, raw >> 4], axis=2).view(np.int8)
    numbers -= np.int8(middle)
    return numbers


def _five_bits(raw: Bytes) -> NDArray[np.int8]:
    """The fifth bits of all 32 numbers (4 B) come before the lower four."""
    fifth = np.unpackbits(raw[:, :, :4], axis=2, bitorder="little").view(np.int8)
    return _nibbles(raw[:, :, 4:], 0) + fifth * np.int8(16) - np.int8(MIDDLE_5)


def _floats(entries: NDArray[np.floating[Any]]) -> Blocks:
    """Entries (rows, blocks, 32) as numbers of up to 2^14 with a power of two as their scale."""
    if not np.isfinite(entries).all():
        raise WeightsError("the GGUF file has weights that are not finite")
    whole = entries.astype(np.float64) / UNIT
    _, exponents = np.frexp(np.abs(whole).max(axis=2))
    scales = np.ldexp(1.0, np.maximum(exponents - FLOAT_BITS, 0))
    numbers = np.rint(whole / scales[:, :, None]).astype(np.int16)
    upper = (numbers + LIMB // 2) >> 8
    lower = numbers - upper * LIMB
    limbs = np.concatenate([upper, lower], axis=1).astype(np.int8)
    return Blocks(limbs, np.concatenate([scales * LIMB, scales], axis=1), None, 128, 2)
