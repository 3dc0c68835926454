"""Reads the quantised weights of a GGUF file as integers, without rounding.

ggml quantises 32 neighbouring weights together: weight = scale * number + minimum. Scale and minimum are half
precision floats, the numbers are small integers (ggml-common.h and docs of the ggml project). A half precision float
is a multiple of 2^-24, so scale and minimum are integers in units of 2^-24.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.reader import Tensor

BLOCK = 32
UNIT = 2.0**-24
F32, Q4_0, Q4_1, Q8_0 = 0, 2, 3, 8
BYTES = {Q4_0: 18, Q4_1: 20, Q8_0: 34}
# Four-bit numbers are counted from their middle, which halves the largest magnitude.
MIDDLE = 8

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix (rows, columns): entry = (scale * number + minimum) * 2^-24, with one scale and minimum a block."""

    numbers: NDArray[np.int8]  # (rows, blocks, 32)
    scales: NDArray[np.float64]  # (rows, blocks), integers
    minima: NDArray[np.float64]  # (rows, blocks), integers
    number_max: int  # the largest magnitude that a number may have


def shape(tensor: Tensor) -> tuple[int, int]:
    """Rows (outputs) and columns (inputs) of a matrix. Raises WeightsError if this module cannot read the tensor."""
    if len(tensor.dimensions) != 2 or tensor.kind not in BYTES:
        raise WeightsError(f"the exact engine reads matrices in Q4_0, Q4_1 and Q8_0, and {tensor.name} is none")
    columns, rows = tensor.dimensions
    if columns % BLOCK or not 0 < rows * columns < 2**40:
        raise WeightsError(f"{tensor.name} in the GGUF file has an unusable shape")
    return rows, columns


def read(tensor: Tensor, data: Bytes) -> Blocks:
    """The blocks of a matrix; `data` is the file's data section. Raises WeightsError."""
    rows, columns = shape(tensor)
    blocks = columns // BLOCK
    each = BYTES[tensor.kind]
    raw = _part(tensor, data, rows * blocks * each).reshape(rows, blocks, each)
    scales = _half(raw[:, :, :2])
    if tensor.kind == Q8_0:
        return Blocks(raw[:, :, 2:].view(np.int8), scales, np.zeros_like(scales), 128)
    nibbles = raw[:, :, each - BLOCK // 2 :]
    numbers = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).view(np.int8) - np.int8(MIDDLE)
    if tensor.kind == Q4_0:
        return Blocks(numbers, scales, np.zeros_like(scales), MIDDLE)
    return Blocks(numbers, scales, _half(raw[:, :, 2:4]) + scales * MIDDLE, MIDDLE)


def vector(tensor: Tensor, data: Bytes) -> NDArray[np.float64]:
    """A vector (n,) that the file stores as 32-bit floats. Raises WeightsError."""
    if len(tensor.dimensions) != 1 or tensor.kind != F32:
        raise WeightsError(f"{tensor.name} in the GGUF file is not a vector of 32-bit floats")
    found = _part(tensor, data, 4 * tensor.dimensions[0]).view("<f4").astype(np.float64)
    if not np.isfinite(found).all():
        raise WeightsError(f"{tensor.name} in the GGUF file has values that are not finite")
    return found


def _part(tensor: Tensor, data: Bytes, size: int) -> Bytes:
    if size > tensor.size or tensor.offset + size > data.size:
        raise WeightsError(f"{tensor.name} in the GGUF file is shorter than its shape says")
    return data[tensor.offset : tensor.offset + size]


def _half(raw: Bytes) -> NDArray[np.float64]:
    """Half precision floats, each two bytes, in units of 2^-24."""
    found = np.ascontiguousarray(raw).view("<f2")[..., 0].astype(np.float64) / UNIT
    if not np.isfinite(found).all():
        raise WeightsError("the GGUF file has a block whose scale is not finite")
    return found
