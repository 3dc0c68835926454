"""Differential privacy: the noise has the discrete Gaussian's distribution, and no row exceeds the clip."""

from dataclasses import replace
from math import exp

import numpy as np
import pytest

from p2pverify.engine.tabular.model import Rows, TabularModel, initial
from p2pverify.engine.tabular.noise import Draws, bernoulli_exp, clipped_sum, discrete_gaussian, noise
from p2pverify.engine.tabular.training import train
from tests.engine.tabular.examples import SEED, listed, rows_of, ruled
from tests.support import tabular
from tests.support.chi_square import chi_square
from tests.support.datasets import SCHEMA
from tests.support.training import NOISE


@pytest.mark.parametrize("sigma", [1, 3, 40])
def test_noise_is_a_discrete_gaussian(sigma: int) -> None:
    """Twenty thousand draws: chi-square over all values with an expected count of at least ten."""
    draws = Draws(bytes([sigma]) * 32)
    drawn = [discrete_gaussian(draws, sigma) for _ in range(20_000)]
    chi_square(drawn, lambda x: exp(-x * x / (2 * sigma * sigma)), reach=12 * sigma)


def test_uniform_and_bernoulli_draws() -> None:
    """Numbers below a bound that is no power of two are even; exp(-over/under) is the share of true draws."""
    draws = Draws(b"even")
    chi_square([draws.below(7) for _ in range(7000)], lambda x: float(0 <= x < 7), reach=7)
    assert [draws.below(1) for _ in range(5)] == [0] * 5
    assert 2**64 < max(draws.below(2**70) for _ in range(50)) < 2**70
    for over, under in ((0, 1), (1, 3), (1, 1), (5, 2)):
        share = sum(bernoulli_exp(draws, over, under) for _ in range(4000)) / 4000
        assert abs(share - exp(-over / under)) < 0.04


def test_a_seed_gives_its_noise() -> None:
    """The same seed gives the same noise; its size is what sigma says."""
    drawn = noise(SEED, 5000, 2000)
    assert drawn.tolist() == noise(SEED, 5000, 2000).tolist() != noise(bytes(32), 5000, 2000).tolist()
    assert 4700 < drawn.std() < 5300
    assert noise(SEED, 2**32, 3).shape == (3,)


@pytest.mark.parametrize("hidden", [0, 3])
def test_no_row_counts_for_more_than_the_clip(hidden: int) -> None:
    """The sum is that of the second implementation, and one row changes it by at most the clip."""
    rule, rows = ruled(hidden=hidden, epochs=4), rows_of(12, 1)
    model = train(initial(SCHEMA, hidden), rows_of(50, 2), rule, SEED).model
    wide = Rows((rows.features.astype(np.int64) * 3).astype(np.int16), rows.labels)
    net = tabular.Net(model.weights.tolist(), 2, hidden, 2)
    for clip in (1, 3000, 1 << 20):
        gradients = [
            tabular.shrunk([tabular.half_up(each, 4096) for each in tabular.flat(net.gradients(row))], clip)
            for row in listed(wide)
        ]
        assert clipped_sum(model, wide, clip).tolist() == [sum(each) for each in zip(*gradients, strict=True)]
        assert all(sum(each * each for each in one) <= clip * clip for one in gradients)


def test_the_greatest_gradients_are_clipped_exactly() -> None:
    """The greatest weights and numbers: squares that need more than 63 bits in sum."""
    base = initial(SCHEMA, 64)
    weights = np.where(np.arange(len(base.weights)) % 2, 1, -1) * (2**21 - 1)
    model = TabularModel(SCHEMA, 64, weights.astype(np.int64))
    rows = Rows(np.array([[32767, -32767], [-32767, 32767]], np.int16), np.array([0, 1], np.uint8))
    net = tabular.Net(model.weights.tolist(), 2, 64, 2)
    found = [
        tabular.shrunk([tabular.half_up(each, 4096) for each in tabular.flat(net.gradients(row))], 1 << 16)
        for row in listed(rows)
    ]
    assert clipped_sum(model, rows, 1 << 16).tolist() == [sum(each) for each in zip(*found, strict=True)]


def test_the_step() -> None:
    """The update is the noisy sum times the rate over the number of rows; the noise is what the seed gives."""
    rule, base, rows = replace(ruled(), **{**NOISE, "lr_q16": 4 << 16}), initial(SCHEMA), rows_of(40, 1)
    run = train(base, rows, rule, SEED)
    total = clipped_sum(base, rows, 1 << 16) + noise(SEED, rule.sigma, len(base.weights))
    plain = [-tabular.half_up(int(each) * rule.lr_q16, 40 << 16) for each in total]
    decayed = [each - tabular.half_up(each * rule.decay_q16, 1 << 16) for each in plain]
    assert run.update.tolist() == tabular.shrunk(decayed, rule.clip_q16)
    assert len(run.leaves) == 1
    with pytest.raises(ValueError, match="more than 65536"):
        train(base, rows_of(65_537, 1), rule, SEED)
