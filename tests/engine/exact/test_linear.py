"""Matrix products equal those of Python's integers, however extreme weights and activations are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import linear
from p2pverify.engine.exact.blocks import UNIT, Blocks
from p2pverify.engine.exact.devices.host import NumpyDevice
from p2pverify.engine.exact.linear import ACTIVATION_MIN, FLOAT32_MAX, FLOAT64_MAX, Linear, pack

#: entries of a block, the largest number in it, limbs: Q4_0, Q5_0, Q8_0, Q2_K, Q3_K, Q6_K, F16
FORMS = [(32, 8, 1), (32, 16, 1), (32, 128, 1), (16, 2, 1), (16, 4, 1), (16, 32, 1), (32, 128, 2)]


def extreme(
    rng: np.random.Generator, rows: int, blocks: int, form: tuple[int, int, int], largest: int, *, minima: bool
) -> Blocks:
    """Blocks whose numbers are mostly the largest, with one sign in each row, so that sums grow as far as they can."""
    entries, number_max, limbs = form
    shape = (rows, blocks * limbs)
    sign = rng.choice([-1, 1], (rows, 1))
    numbers = np.where(
        rng.random((*shape, entries)) < 0.8, -number_max, rng.integers(-number_max, number_max, (*shape, entries))
    ).astype(np.int8)
    scales, least = (sign * rng.integers(largest // 2, largest + 1, shape).astype(np.float64) for _ in "sm")
    return Blocks(numbers, scales, -least if minima and limbs == 1 else None, number_max, limbs)


def extreme_activations(rng: np.random.Generator, rows: int, inputs: int, bound: int) -> np.ndarray:
    x = np.where(rng.random((rows, inputs)) < 0.8, -bound, rng.integers(-bound, bound + 1, (rows, inputs)))
    x[:, 0] = bound  # so that activations are not scaled
    return x.astype(np.float64)


def apply(matrix: Linear, x: np.ndarray) -> np.ndarray:
    return matrix.apply(x, NumpyDevice())


def scaled(exact: int, matrix: Linear) -> float:
    """What becomes of an exact sum if the largest activation is the matrix's own bound."""
    return float(exact) * (matrix.activation_max * (UNIT / matrix.activation_max))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    form=st.sampled_from(FORMS),
    largest=st.sampled_from([1, 2**11, 2**20]),
    minima=st.booleans(),
    small=st.booleans(),
)
def test_products_are_exact(seed: int, form: tuple[int, int, int], largest: int, minima: bool, small: bool) -> None:
    """Products equal Python's integers for the largest numbers and activations within the bounds, all of one sign."""
    rng = np.random.default_rng(seed)
    entries, number_max, limbs = form
    rows, blocks = 5, 3
    weights = extreme(rng, rows, blocks, form, largest, minima=minima)
    matrix = pack([weights], small=small)
    assert entries * number_max * matrix.activation_max <= FLOAT32_MAX
    x = extreme_activations(rng, 4, blocks * entries, matrix.activation_max)
    found = apply(matrix, x)
    whole = weights.numbers.astype(object) * weights.scales.astype(object)[..., None]
    if weights.minima is not None:
        whole = whole + weights.minima.astype(object)[..., None]
    whole = np.vectorize(int)(whole).astype(object).reshape(rows, limbs, blocks * entries).sum(axis=1)
    exact = np.vectorize(int)(x).astype(object) @ whole.T
    assert abs(exact).max() <= FLOAT64_MAX
    assert found.tolist() == [[scaled(value, matrix) for value in row] for row in exact]
    row = matrix.row(3) / UNIT
    assert row.astype(object).tolist() == [float(value) for value in whole[3]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inputs", [4096, 16_384])
def test_wide_rows_do_not_overflow(form: tuple[int, int, int], inputs: int) -> None:
    """In rows as wide as those of a model of width 4,096, the bound on the whole sum takes over, and holds."""
    rng = np.random.default_rng(5)
    entries, number_max, limbs = form
    # Weights of up to about 1, all of them extreme: no real model is near.
    largest = max(1, 2**24 // number_max)
    weights = extreme(rng, 2, inputs // entries, form, largest, minima=True)
    matrix = pack([weights], small=True)
    assert matrix.activation_max >= ACTIVATION_MIN
    x = extreme_activations(rng, 1, inputs, matrix.activation_max)
    found = apply(matrix, x)
    total = np.zeros(2, object)
    minima = np.zeros_like(weights.scales) if weights.minima is None else weights.minima
    for block in range(inputs // entries * limbs):
        at = block % (inputs // entries) * entries
        activations = [int(one) for one in x[0, at : at + entries]]
        for row in range(2):
            product = sum(int(n) * a for n, a in zip(weights.numbers[row, block], activations, strict=True))
            assert abs(product) <= FLOAT32_MAX
            total[row] += int(weights.scales[row, block]) * product + int(minima[row, block]) * sum(activations)
            assert abs(total[row]) <= FLOAT64_MAX
    assert found[0].tolist() == [scaled(one, matrix) for one in total]


def test_small_numbers_give_the_same_bits() -> None:
    """The two layouts differ in memory and in tiles, and in no bit of a product or of a row."""
    rng = np.random.default_rng(6)
    weights = extreme(rng, 1000, 40, (32, 128, 1), 2**11, minima=True)
    wide, small = pack([weights]), pack([weights], small=True)
    assert (wide.small, small.small) == (False, True)
    assert small.numbers.shape[3] != wide.numbers.shape[3]
    x = rng.normal(size=(7, 1280))
    assert apply(wide, x).tobytes() == apply(small, x).tobytes()
    assert all(wide.row(row).tobytes() == small.row(row).tobytes() for row in (0, 499, 999))


@pytest.mark.parametrize("outputs", [1, 157, 1531, 1537, 4099, 6144])
def test_any_number_of_outputs_has_wide_tiles(outputs: int) -> None:
    """If the outputs have no divisor near the best width, the last tile has zeros behind them."""
    rng = np.random.default_rng(8)
    weights = extreme(rng, outputs, 2, (32, 8, 1), 100, minima=True)
    matrix = pack([weights])
    assert matrix.outputs == outputs
    assert 4 * matrix.numbers.shape[3] >= min(outputs, linear.TILE)
    x = rng.normal(size=(3, 64))
    assert apply(matrix, x).shape == (3, outputs)
    minima = weights.minima
    assert minima is not None
    last = pack([Blocks(weights.numbers[-1:], weights.scales[-1:], minima[-1:], 8)])
    assert np.allclose(apply(last, x)[:, 0], apply(matrix, x)[:, -1], rtol=1e-4)


def test_weights_without_headroom_are_refused() -> None:
    """Rows are refused if their sums exceed 2^53 with activations of 11 bits."""
    large = np.full((2, 3), 2.0**33)
    with pytest.raises(WeightsError, match="too large"):
        pack([Blocks(np.ones((2, 3, 32), np.int8), large, large, 128)])


def test_an_all_zero_row_gives_zeros() -> None:
    """A row whose largest entry is 0 is not divided by it."""
    matrix = pack([extreme(np.random.default_rng(9), 4, 2, (32, 8, 1), 5, minima=True)])
    assert not apply(matrix, np.zeros((2, 64))).any()
