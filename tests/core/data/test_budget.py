"""The privacy budget is an upper bound, and not a loose one."""

from math import log, log1p

import pytest

from p2pverify.core.data.budget import NANO, epsilon, least_sigma, rho_within, step_rho
from tests.support.budgets import ACCOUNTED


@pytest.mark.parametrize("case", ACCOUNTED)
def test_eps_is_at_least_what_an_accountant_finds(case: tuple[int, int, int]) -> None:
    """Above the accountant's figure, and by at most a tenth of a per cent."""
    ratio, steps, exponent = case
    found = epsilon(steps * step_rho(65_536, ratio * 65_536), exponent)
    assert ACCOUNTED[case] <= found <= 1.001 * ACCOUNTED[case]


def test_eps_is_the_formula_rounded_up() -> None:
    """Never below the formula at its best order, and at most two millionths above it."""
    orders = [tenths / 10 for tenths in range(11, 110)] + [*range(11, 64), 128, 256, 512, 1024]
    for rho in (1, 10**5, 10**6, 297_651_991, 5 * NANO):
        for exponent in (1, 5, 18):
            found = [
                alpha * rho / NANO + log1p(-1 / alpha) + (exponent * log(10) - log(alpha)) / (alpha - 1)
                for alpha in orders
            ]
            exact = max(min(found), rho / NANO) * 1e6
            assert exact - 1e-6 <= epsilon(rho, exponent) <= exact + 2
    assert epsilon(0, 5) == 0


def test_the_budget_of_an_eps() -> None:
    """The greatest rho stays within eps, and a billionth more does not."""
    for eps in (0, 1, 500_000, 4_000_000):
        for exponent in (1, 5, 12):
            rho = rho_within(eps, exponent)
            assert epsilon(rho, exponent) <= eps < epsilon(rho + 1, exponent)


def test_the_least_noise_for_a_budget() -> None:
    """So many steps with this sigma stay within rho, and with one less they do not."""
    for clip, rho, steps in ((65_536, 297_651_991, 6), (1, NANO, 1), (1000, 17, 16), (5, 5 * NANO, 3)):
        sigma = least_sigma(clip, rho, steps)
        assert steps * step_rho(clip, sigma) <= rho
        assert sigma == 1 or steps * step_rho(clip, sigma - 1) > rho - steps
    with pytest.raises(ValueError, match="less than a billionth"):
        least_sigma(65_536, 5, 6)


def test_a_step_is_rounded_up() -> None:
    """The exact rho of a step is never more than what is counted for it."""
    for clip, sigma in ((65_536, 208_059), (3, 7), (1, 2**32)):
        assert 0 <= step_rho(clip, sigma) * 2 * sigma * sigma - NANO * clip * clip < 2 * sigma * sigma
