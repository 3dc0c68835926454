"""The formats of numbers in GGUF files: a tensor's bytes as numbers, and numbers as the bytes of another format.

The `gguf` library knows the formats. Its arithmetic is single operations on 32-bit floats, whose results IEEE 754
fixes, so equal numbers give equal bytes on every machine. `checked` keeps out the numbers for which this is not so.
`protocol/lineage.md` defines each format.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.writer import NewTensor

Rows = NDArray[np.float32]
Blocks = NDArray[np.uint8]

HALF_MAX = 65_504.0
BFLOAT_MAX = 2.0**127
#: Blocks of numbers below it would have a scale whose reciprocal is infinite.
TINY = 2.0**-96
_TYPES = GGMLQuantizationType


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its ggml type, the GGUF number of its file type, and the function that turns rows into bytes.

    `most` is the greatest absolute value of a number.
    """

    kind: GGMLQuantizationType
    file_type: int
    write: Callable[[Rows], Blocks]
    most: float = HALF_MAX

    @property
    def block(self) -> int:
        """How many numbers are written together; rows have a multiple of it."""
        return int(GGML_QUANT_SIZES[self.kind][0])

    def place(self, name: str, dimensions: tuple[int, ...]) -> NewTensor:
        """The place of a tensor in this format. Raises WeightsError if its rows cannot be cut into blocks."""
        block, size = GGML_QUANT_SIZES[self.kind]
        if dimensions[0] % block:
            raise WeightsError(f"{name} has rows of {dimensions[0]}, which is not a multiple of {block}")
        return NewTensor(name, dimensions, int(self.kind), math.prod(dimensions) // block * size)

    def bytes_of(self, name: str, rows: Rows) -> bytes:
        """The bytes of a tensor's rows. Raises WeightsError if the format cannot hold a number."""
        return self.write(checked(name, rows, self)).tobytes()


def written_by_library(kind: GGMLQuantizationType) -> Callable[[Rows], Blocks]:
    """The library's function that writes a format."""

    def write(rows: Rows) -> Blocks:
        blocks: Blocks = quantize(rows, kind)
        return blocks

    return write


def _form(kind: GGMLQuantizationType, file_type: int, most: float = HALF_MAX) -> Format:
    return Format(kind, file_type, written_by_library(kind), most)


#: Those of `core.contract.history.recipe`: FLOATS and QUANTISATIONS.
FORMATS: dict[str, Format] = {
    "f32": _form(_TYPES.F32, 0, math.inf),
    "f16": _form(_TYPES.F16, 1),
    "bf16": _form(_TYPES.BF16, 32, BFLOAT_MAX),
    "q8_0": _form(_TYPES.Q8_0, 7),
    "q5_0": _form(_TYPES.Q5_0, 8),
    "q5_1": _form(_TYPES.Q5_1, 9),
    "q4_0": _form(_TYPES.Q4_0, 2),
    "q4_1": _form(_TYPES.Q4_1, 3),
}


def numbers(raw: bytes, name: str, kind: int, dimensions: tuple[int, ...]) -> Rows:
    """The numbers of a tensor's bytes (with or without padding), in rows of the first dimension.

    Raises WeightsError if the format is unknown, or the bytes are too few.
    """
    width, count = dimensions[0], math.prod(dimensions[1:])
    try:
        form = GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[form]
        if width % block:
            raise WeightsError(f"{name} has rows of {width}, which is not a multiple of {block}")
        stored = np.frombuffer(raw, np.uint8, count * width // block * size).reshape(count, -1)
        return dequantize(stored, form).reshape(count, width).astype(np.float32)
    except (ValueError, NotImplementedError):
        raise WeightsError(f"{name} cannot be read: its bytes are too few, or its type {kind} is unknown") from None


def checked(name: str, rows: Rows, form: Format) -> Rows:
    """The rows, if the format can hold their numbers: else raises WeightsError.

    In formats of blocks, numbers below TINY become 0, and -0 becomes 0, because the result would depend on the machine.
    """
    size = np.abs(rows)
    if not np.isfinite(size).all() or size.max(initial=0) > form.most:
        raise WeightsError(f"{name} has a number that {form.kind.name} cannot hold: not finite or too large")
    return rows if form.block == 1 else np.where(size < TINY, np.float32(0), rows)
