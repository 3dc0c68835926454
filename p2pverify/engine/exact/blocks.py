"""Blocks of weights as integers, the form that all quantisations are read into.

ggml quantises 16 or 32 neighbouring weights together: weight = scale * number + minimum. The numbers are small
integers. Scale and minimum are half precision floats, or products of one with a small integer. A half precision float
is a multiple of 2^-24, so scale and minimum are integers in units of 2^-24.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError

UNIT = 2.0**-24

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix (rows, columns): entry = (scale * number + minimum) * 2^-24, with one scale and minimum a block.

    With two `limbs`, an entry is the sum of two of them: the second half of the blocks has the same columns again.
    """

    numbers: NDArray[np.int8]  # (rows, blocks, entries of a block)
    scales: Floats  # (rows, blocks), integers
    minima: Floats | None  # (rows, blocks), integers; None if all are 0
    number_max: int  # the largest magnitude that a number may have
    limbs: int = 1

    @property
    def form(self) -> tuple[int, int, int, bool]:
        """Matrices of equal form lose nothing if they are packed as one."""
        return self.numbers.shape[2], self.number_max, self.limbs, self.minima is None


def halves(raw: Bytes) -> Floats:
    """Half precision floats, each two bytes (..., 2), in units of 2^-24. Raises WeightsError if one is not finite."""
    with np.errstate(invalid="ignore"):
        found = np.ascontiguousarray(raw).view("<f2")[..., 0].astype(np.float64) / UNIT
    if not np.isfinite(found).all():
        raise WeightsError("the GGUF file has a block whose scale is not finite")
    return found
