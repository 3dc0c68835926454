"""Elementary functions that give equal bits on every machine, because they use correctly rounded operations only.

IEEE 754 fixes the results of + - * / and sqrt on doubles. It does not fix exp, cos and sin: their results differ by
one ulp between processors and libraries. The logarithm is in `sampler`.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG2_E = 1.4426950408889634
# log(2) in two parts: the upper one has 32 bits, so that its product with a small integer is exact.
LN_2_HIGH, LN_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
EXPONENT_BIAS = 1023
EXP_MAX = 700.0
# Taylor's series: with |x| <= log(2) / 2 the next term is below 3e-10.
EXP_SERIES = tuple(1.0 / math.factorial(term) for term in range(9))
# With an angle of at most 2^-4 the next terms are below 1e-17.
SIN_SERIES = tuple((-1.0) ** term / math.factorial(2 * term + 1) for term in range(6))
COS_SERIES = tuple((-1.0) ** term / math.factorial(2 * term) for term in range(6))
HALVINGS = 4


def exp(x: Floats) -> Floats:
    """exp(x) of doubles, with a relative error of at most 1e-9. x is first cut to the range from -700 to 700."""
    x = np.minimum(x, EXP_MAX)
    np.maximum(x, -EXP_MAX, out=x)
    power = x * LOG2_E
    np.rint(power, out=power)
    part = power * LN_2_HIGH
    x -= part
    np.multiply(power, LN_2_LOW, out=part)
    x -= part
    total = polynomial(x, EXP_SERIES)
    power += EXPONENT_BIAS
    bits = power.astype(np.int64)
    bits <<= 52
    total *= bits.view(np.float64)
    return total


def rotations(base: float, half: int, positions: int, slower: Floats | None = None) -> tuple[Floats, Floats]:
    """Cosines and sines (positions, half) of the angles position * base^(-i / half), for rotary embedding.

    The angles of each column are divided by its number in `slower` (half,), which is at least 1. Each row follows from
    earlier rows by the angle addition formulas. `half` must be a power of two, because the root of `base` is computed
    with square roots. Raises ValueError otherwise.
    """
    if half < 1 or half & (half - 1):
        raise ValueError(f"rotary embedding of {half} pairs: not a power of two")
    root = base
    for _ in range(half.bit_length() - 1):
        root = math.sqrt(root)
    angles = [1.0]
    while len(angles) < half:
        angles.append(angles[-1] / root)
    step_cos, step_sin = _rotation(np.array(angles) if slower is None else np.array(angles) / slower)
    cos, sin = np.ones((positions, half)), np.zeros((positions, half))
    filled = 1
    while filled < positions:
        count = min(filled, positions - filled)
        cos[filled : filled + count], sin[filled : filled + count] = _compose(
            cos[:count], sin[:count], step_cos, step_sin
        )
        step_cos, step_sin = _compose(step_cos, step_sin, step_cos, step_sin)
        filled += count
    return cos, sin


def _rotation(angles: Floats) -> tuple[Floats, Floats]:
    """Cosine and sine of angles from 0 to 1."""
    small = angles * 2.0**-HALVINGS
    square = small * small
    cos, sin = polynomial(square, COS_SERIES), polynomial(square, SIN_SERIES) * small
    for _ in range(HALVINGS):
        cos, sin = _compose(cos, sin, cos, sin)
    return cos, sin


def _compose(cos: Floats, sin: Floats, other_cos: Floats, other_sin: Floats) -> tuple[Floats, Floats]:
    return cos * other_cos - sin * other_sin, cos * other_sin + sin * other_cos


def polynomial(x: Floats, factors: tuple[float, ...]) -> Floats:
    """The sum of factors[i] * x^i by Horner's rule. The order of operations must not change: it fixes the bits."""
    total = np.full_like(x, factors[-1])
    for factor in reversed(factors[:-1]):
        total *= x
        total += factor
    return total
