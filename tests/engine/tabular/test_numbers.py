"""The arithmetic is exact within proven bounds, and its tables are those of the page."""

from math import exp

import numpy as np
import pytest

from p2pverify.core.contract.history.training import BATCH_MAX, HIDDEN_MAX, ONE_Q16
from p2pverify.core.data.schema import FEATURES_MAX, LABELS_MAX
from p2pverify.engine.tabular.numbers import (
    ACTIVATION_MAX,
    EXACT_BELOW,
    EXP_TABLE,
    GRADIENT_MAX,
    LOSS_TABLE,
    WEIGHT_MAX,
    matmul,
    rounded,
    shuffled,
    softmax,
)
from tests.support import tabular


def test_every_product_of_the_trainer_is_within_the_bound() -> None:
    """With the greatest shapes of a rule and a schema, no sum reaches 2^53."""
    for summands, most in (
        (FEATURES_MAX + 1, ACTIVATION_MAX * WEIGHT_MAX),
        (HIDDEN_MAX + 1, ACTIVATION_MAX * WEIGHT_MAX),
        (LABELS_MAX, ONE_Q16 * WEIGHT_MAX),
        (BATCH_MAX, ACTIVATION_MAX * GRADIENT_MAX),
    ):
        assert summands * most < EXACT_BELOW


def test_products_at_the_bound_are_exact() -> None:
    """Sums just below 2^53, of odd numbers, are those of Python's integers; a longer sum is refused."""
    count = BATCH_MAX
    left = np.full((1, count), 2**20 - 1, np.int64)
    right = np.full((count, 1), 2**23 - 1, np.int64)
    assert matmul(left, right, term_max=2**43 - 1)[0, 0] == count * (2**20 - 1) * (2**23 - 1)
    with pytest.raises(ValueError, match="not exact"):
        matmul(left, right, term_max=2**43)


def test_tables_are_the_nearest_integers() -> None:
    """Each entry is what the library's functions, or forty decimal digits, give."""
    assert EXP_TABLE.tolist() == [tabular.power(step) for step in range(4097)]
    assert LOSS_TABLE.tolist() == [tabular.surprise(share) for share in range(65537)]
    assert EXP_TABLE[256] == round(exp(-1) * 65536)


def test_gradients_of_the_hidden_layer_stay_below_their_bound() -> None:
    """The worst row: all labels but its own share the probability, and all weights pull one way."""
    logits = np.full((1, LABELS_MAX), 2**28, np.int64)
    logits[0, 0] = -(2**28)
    gradient = softmax(logits)
    gradient[0, 0] -= ONE_Q16
    assert np.abs(gradient).sum() <= 2 * ONE_Q16 + LABELS_MAX // 2
    weights = np.sign(gradient[0]) * WEIGHT_MAX
    assert abs(int(gradient[0] @ weights)) + ONE_Q16 // 2 >> 16 <= GRADIENT_MAX


def test_probabilities() -> None:
    """They are those of the second implementation, also for logits far apart and all equal."""
    drawn = np.random.Generator(np.random.Philox(key=3)).integers(-(2**17), 2**17, (50, 5))
    drawn[0], drawn[1, 1:] = 0, -(2**28)
    assert softmax(drawn).tolist() == [tabular.softmax(row) for row in drawn.tolist()]


def test_rounding_and_orders() -> None:
    """Halves go up, below 0 too. Another block or seed has another order."""
    numbers = np.array([-5, -3, -1, 1, 3, 5], np.int64)
    assert rounded(numbers, 2).tolist() == [-2, -1, 0, 1, 2, 3]
    orders = [shuffled(b"d", seed, block, 50).tolist() for seed, block in ((b"a", 0), (b"a", 1), (b"b", 0))]
    assert orders == [tabular.order(b"d", seed, block, 50) for seed, block in ((b"a", 0), (b"a", 1), (b"b", 0))]
    assert all(sorted(each) == list(range(50)) for each in orders)
    assert len(set(map(tuple, orders))) == 3
