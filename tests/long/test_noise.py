"""A million draws of the noise of training."""

from math import exp

import pytest

from p2pverify.engine.tabular.noise import Draws, discrete_gaussian
from tests.support.chi_square import chi_square


@pytest.mark.parametrize("sigma", [2, 100])
def test_a_million_draws_are_a_discrete_gaussian(sigma: int) -> None:
    """A sampler that is off by a thousandth at its peak is found."""
    draws = Draws(bytes([sigma]) * 32)
    drawn = [discrete_gaussian(draws, sigma) for _ in range(1_000_000)]
    chi_square(drawn, lambda x: exp(-x * x / (2 * sigma * sigma)), reach=12 * sigma)
