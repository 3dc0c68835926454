"""A training without some rows is that of a data set that never had them."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.history.training import SGD
from p2pverify.engine.tabular import initial, train
from p2pverify.engine.tabular.sgd import batches
from p2pverify.engine.tabular.update import update_digest
from tests.engine.tabular.examples import SEED, rows_of, ruled
from tests.support.datasets import SCHEMA
from tests.support.training import NOISE


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 79), max_size=70), st.binary(min_size=32, max_size=32))
def test_the_rows_that_are_left_keep_their_order(erased: set[int], seed: bytes) -> None:
    """Epoch by epoch, the order without some rows is that of all rows with these left out."""
    rule = ruled(batch=1)
    left = np.array([at for at in range(80) if at not in erased])
    whole = [int(at) for batch in batches(np.arange(80), rule, seed) for at in batch]
    without = [int(left[at]) for batch in batches(left, rule, seed) for at in batch]
    assert without == [at for at in whole if at not in erased]


@pytest.mark.parametrize("trainer", [SGD, "noise"])
def test_what_erased_rows_held_changes_nothing(trainer: str) -> None:
    """Twenty choices of erased rows: whatever these rows were, the update is the same. With them it is another one."""
    base, rule = initial(SCHEMA), ruled(**(NOISE if trainer == "noise" else {}))
    dice = random.Random(20)
    whole = update_digest(train(base, rows_of(60, 1), rule, SEED).update)
    for choice in range(20):
        erased = set(dice.sample(range(60), dice.randint(1, 30)))
        left = [at for at in range(60) if at not in erased]
        other = rows_of(60, 100 + choice, flip=True)
        mixed = rows_of(60, 1)
        for at in erased:
            mixed.features[at], mixed.labels[at] = other.features[at], other.labels[at]
        place = np.array(left)
        one, two = (
            update_digest(train(base, rows.taken(place), rule, SEED, left).update) for rows in (rows_of(60, 1), mixed)
        )
        assert one == two != whole


def test_numbers_count_from_0_if_none_are_given() -> None:
    base, rows = initial(SCHEMA), rows_of(30, 1)
    assert train(base, rows, ruled(), SEED).leaves == train(base, rows, ruled(), SEED, range(30)).leaves
    moved = train(base, rows, ruled(), SEED, range(5, 35))
    assert moved.leaves != train(base, rows, ruled(), SEED).leaves
