"""The privacy budget of rows: zero-concentrated differential privacy (Bun, Steinke 2016), in integers.

A release with discrete Gaussian noise is rho-zCDP with rho = clip^2 / (2 sigma^2). The rho of several releases add up.
For each order alpha > 1, rho-zCDP gives (eps, delta)-differential privacy with

    eps = alpha rho + ln(1 - 1 / alpha) + (ln(1 / delta) - ln(alpha)) / (alpha - 1)

(Canonne, Kamath, Steinke 2020, proposition 12); the least eps of some orders counts. All results are rounded up, so
that they are upper bounds. `rho` is counted in billionths, `eps` in millionths, and delta is 10^-exponent.
Protocol page: protocol/training.md.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt

NANO = 10**9
#: ln(10) in billionths, rounded up.
_LN_10_NANO = 2_302_585_093
#: The orders in tenths: 1.1 to 10.9 by tenths, 11 to 63, and four large ones for small budgets.
_ORDERS = (*range(11, 110), *range(110, 640, 10), 1280, 2560, 5120, 10240)
_FINE = 10**18


def step_rho(clip: int, sigma: int) -> int:
    """The rho of one step, whose rows have gradients of a norm of at most `clip`, both in the same unit."""
    return -(-NANO * clip * clip // (2 * sigma * sigma))


def epsilon(rho: int, delta_exponent: int) -> int:
    """The eps that a sum of rho gives; never below rho, and 0 for none."""
    if rho == 0:
        return 0
    least = min(-(-tenths * rho // 10) + rest for tenths, rest in _rests(delta_exponent))
    return -(-max(least, rho) // 1000)


@lru_cache(maxsize=32)
def _rests(delta_exponent: int) -> tuple[tuple[int, int], ...]:
    """Each order in tenths, with what is added to alpha rho for it, in billionths."""
    return tuple((tenths, _rest(tenths, delta_exponent)) for tenths in _ORDERS)


def _rest(tenths: int, delta_exponent: int) -> int:
    above = tenths - 10
    delta = delta_exponent * _LN_10_NANO - _ln_nano(tenths, 10)
    return -(-10 * delta // above) - _ln_nano(tenths, above)


def _ln_nano(numerator: int, denominator: int) -> int:
    """ln(numerator / denominator) in billionths, rounded down; the fraction is at least 1."""
    halvings = 0
    while numerator >= 2 * denominator:
        denominator *= 2
        halvings += 1
    rest = sum(_terms(numerator - denominator, numerator + denominator))
    return (rest + halvings * sum(_terms(1, 3))) * NANO // _FINE


def _terms(numerator: int, denominator: int) -> Iterator[int]:
    """The terms of 2 artanh(numerator / denominator) in units of 1 / _FINE, each rounded down."""
    power, order = 2 * _FINE * numerator // denominator, 1
    while power:
        yield power // order
        power = power * numerator**2 // denominator**2
        order += 2


def rho_within(eps: int, delta_exponent: int) -> int:
    """The greatest rho whose eps is not above the given one."""
    low, high = 0, 1000 * eps
    while low < high:
        middle = (low + high + 1) // 2
        if epsilon(middle, delta_exponent) <= eps:
            low = middle
        else:
            high = middle - 1
    return low


def least_sigma(clip: int, rho: int, steps: int) -> int:
    """The least sigma with which so many steps stay within a sum of rho. Raises ValueError if rho is too small."""
    each = rho // steps
    if each < 1:
        raise ValueError("the budget has less than a billionth of rho for each step")
    found = isqrt(NANO * clip * clip // (2 * each))
    return found if found and step_rho(clip, found) <= each else found + 1
