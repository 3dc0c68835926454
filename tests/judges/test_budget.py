"""The privacy budget against Google's accountant."""

from math import floor

import pytest
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.rdp import RdpAccountant

from p2pverify.core.data.budget import epsilon, step_rho
from tests.support.budgets import ACCOUNTED


@pytest.mark.parametrize("case", ACCOUNTED)
def test_the_recorded_figures_are_those_of_the_accountant(case: tuple[int, int, int]) -> None:
    """The unit test of the budget uses these figures."""
    ratio, steps, exponent = case
    accountant = RdpAccountant()
    accountant.compose(SelfComposedDpEvent(GaussianDpEvent(ratio), steps))
    found = floor(accountant.get_epsilon(10.0**-exponent) * 1e6)
    assert found == ACCOUNTED[case]
    assert found <= epsilon(steps * step_rho(65_536, ratio * 65_536), exponent) <= 1.001 * found
