"""The root mean square norm with an exact sum of squares.

Numbers are rounded relative to the row's largest, to 21 bits in rows of up to 2048 numbers and to 20 bits in wider
ones. A square is at most 2^42 or 2^40, so a sum of 2048 or 8192 squares is at most 2^53, and float64 holds it.
"""

import numpy as np

from p2pverify.engine.exact.blocks import Floats
from p2pverify.engine.exact.linear import largest_of

NARROW_MAX, WIDTH_MAX = 2048, 8192
NARROW_BITS, WIDE_BITS = 21, 20


def rms_norm(x: Floats, factors: Floats, epsilon: float) -> Floats:
    """Each row of x (rows, width), divided by its root mean square and multiplied by `factors` (width,)."""
    bits = NARROW_BITS if x.shape[1] <= NARROW_MAX else WIDE_BITS
    largest = largest_of(x)
    whole = np.rint(x * (2.0**bits / largest))
    whole *= whole
    unit = largest * 2.0**-bits
    square = whole.sum(axis=1, keepdims=True) * (unit * unit) / x.shape[1]
    normed: Floats = x * (1.0 / np.sqrt(square + epsilon)) * factors
    return normed
