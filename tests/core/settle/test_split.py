"""Curves, apportioning and netting, against what they must fulfil and against the second implementation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.settle.split import apportion, curve_at, netting
from tests.core.settle import second
from tests.support.money import TARIFF

KEYS = st.binary(min_size=32, max_size=32)
AMOUNTS = st.integers(0, 2**62)


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (1, 25), (19, 475), (20, 500), (21, 506), (99, 993), (100, 1000), (9**9, 1000)]
)
def test_a_curve_is_linear_between_its_points(x: int, y: int) -> None:
    assert curve_at(TARIFF.rows_curve, x) == y


@pytest.mark.parametrize(("x", "y"), [(0, 1000), (2, 1000), (3, 625), (4, 250), (5, 250)])
def test_a_curve_may_fall(x: int, y: int) -> None:
    assert curve_at(TARIFF.late_curve, x) == y


@settings(max_examples=60, deadline=None)
@given(AMOUNTS, st.dictionaries(KEYS, AMOUNTS, max_size=12))
def test_parts_sum_to_the_whole(total: int, weights: dict[bytes, int]) -> None:
    """Exactly, and each within one unit of its share. A second implementation gives the same."""
    parts = apportion(total, weights)
    whole = sum(weights.values())
    assert sum(parts.values()) == (total if whole else 0)
    assert all(abs(parts[key] * whole - total * weight) < whole for key, weight in weights.items() if whole)
    texts = second.apportion(total, {key.hex(): weight for key, weight in weights.items()})
    assert {key.hex(): part for key, part in parts.items()} == texts


def test_ties_go_to_the_lesser_key() -> None:
    assert apportion(5, {b"b": 1, b"a": 1, b"c": 1}) == {b"a": 2, b"b": 2, b"c": 1}
    assert apportion(1, {b"b": 1, b"a": 2}) == {b"a": 1, b"b": 0}
    assert apportion(7, {b"a": 0, b"b": 0}) == {b"a": 0, b"b": 0}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, st.integers(-(2**50), 2**50), min_size=1, max_size=12))
def test_netting_makes_all_even_with_few_transfers(balances: dict[bytes, int]) -> None:
    first = min(balances)
    balances[first] -= sum(balances.values())
    found = netting(balances)
    assert len(found) < len(balances)
    left = dict(balances)
    for each in found:
        assert each.amount > 0
        left[each.debtor] += each.amount
        left[each.creditor] -= each.amount
    assert not any(left.values())
    assert netting(dict(reversed(balances.items()))) == found
    texts = second.netting({key.hex(): amount for key, amount in balances.items()})
    assert [[each.debtor.hex(), each.creditor.hex(), each.amount] for each in found] == texts


def test_amounts_that_do_not_sum_to_0_are_not_made_even() -> None:
    with pytest.raises(ValueError, match="do not sum to 0"):
        netting({b"a": 1})
