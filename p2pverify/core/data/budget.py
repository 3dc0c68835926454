"""The privacy budget of rows: zero-concentrated differential privacy (Bun, Steinke 2016), in integers.

A release with discrete Gaussian noise is rho-zCDP with rho = clip^2 / (2 sigma^2). The rho of several releases add up,
and rho-zCDP gives (eps, delta)-differential privacy with eps = rho + 2 sqrt(rho ln(1 / delta)). All results are rounded
up, so that they are upper bounds. `rho` is counted in billionths, `eps` in millionths, and delta is 10^-exponent.
Protocol page: protocol/training.md.
"""

from math import isqrt

NANO = 10**9
#: ln(10) in billionths, rounded up.
_LN_10_NANO = 2_302_585_093


def step_rho(clip: int, sigma: int) -> int:
    """The rho of one step, whose rows have gradients of a norm of at most `clip`, both in the same unit."""
    return -(-NANO * clip * clip // (2 * sigma * sigma))


def epsilon(rho: int, delta_exponent: int) -> int:
    """The eps that a sum of rho gives."""
    square = rho * delta_exponent * _LN_10_NANO
    root = isqrt(square - 1) + 1 if square else 0
    return -(-(rho + 2 * root) // 1000)


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
