"""Lengths of answers: the tail has the weights of its formula exactly, and the expected length is their mean."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract import sortition
from p2pverify.core.contract.lengths import (
    WEIGHT_SCALE,
    expected_long_tokens,
    expected_tokens,
    long_length,
)
from p2pverify.core.contract.network import Params
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.encoding.canon import sha256
from tests.support.networks import LOWEST

PARAMS = replace(
    Params(**LOWEST),
    slots_milli=16_000,
    answer_tokens=64,
    answer_spread=32,
    long_permille=250,
    long_tokens=928,
)


def weight(length: int) -> int:
    return WEIGHT_SCALE // length


@given(st.integers(1, ANSWER_TOKENS_MAX - 1), st.data())
@settings(deadline=None, max_examples=100)
def test_each_length_of_the_tail_has_its_weight(usual: int, data: st.DataObject) -> None:
    """Of the numbers below the sum of all weights, those that give a length are as many as its weight."""
    longest = data.draw(st.integers(usual + 1, ANSWER_TOKENS_MAX))
    total = sum(weight(length) for length in range(usual + 1, longest + 1))
    length = data.draw(st.integers(usual + 1, longest))
    first = sum(weight(shorter) for shorter in range(usual + 1, length))
    last = first + weight(length) - 1
    turns = data.draw(st.integers(0, 2**64 // total - 1)) * total
    assert long_length(turns + first, usual, longest) == long_length(turns + last, usual, longest) == length
    if length > usual + 1:
        assert long_length(turns + first - 1, usual, longest) == length - 1
    if length < longest:
        assert long_length(turns + last + 1, usual, longest) == length + 1


def test_the_expected_length_is_the_mean_of_all_draws() -> None:
    """By hand, from the formula. Without a tail it is the middle of the range."""
    total = sum(weight(length) for length in range(65, 929))
    tail = Fraction(sum(length * weight(length) for length in range(65, 929)), total)
    assert expected_long_tokens(PARAMS) == tail
    assert round(float(tail), 1) == 324.0
    assert expected_tokens(PARAMS) == Fraction(3, 4) * 48 + Fraction(1, 4) * tail
    assert expected_tokens(replace(PARAMS, long_permille=0, long_tokens=0)) == 48
    assert expected_tokens(replace(PARAMS, long_permille=1000)) == tail


def test_the_usual_contract_adds_six_percent() -> None:
    """`network new` with an engine of 1,024 tokens: one slot in a hundred is long."""
    assert round(float(expected_tokens(replace(PARAMS, long_permille=10)) / 48), 3) == 1.057


def drawn(params: Params, count: int = 1000) -> list[sortition.Slot]:
    return [slot for number in range(count) for slot in sortition.slots(sha256(b"%d" % number) * 2, params)]


def test_slots_are_long_at_their_rate_and_long_slots_fill_the_tail() -> None:
    """16,000 slots. Each doubling of the length is drawn about equally often."""
    slots = drawn(PARAMS)
    long = [slot.answer_tokens(PARAMS) for slot in slots if slot.is_long(PARAMS)]
    usual = [slot.answer_tokens(PARAMS) for slot in slots if not slot.is_long(PARAMS)]
    assert abs(len(long) / len(slots) - 0.25) < 0.011
    assert (min(usual), max(usual)) == (32, 64)
    assert 64 < min(long) < 67
    assert 920 < max(long) <= 928
    assert abs(sum(long) / len(long) - 324.0) < 12
    doublings = Counter((length - 1).bit_length() for length in long)
    shares = [doublings[bits] / len(long) for bits in (7, 8, 9)]
    assert all(abs(share - 0.259) < 0.025 for share in shares), shares
    assert all(slot.is_long(PARAMS) == (slot.answer_tokens(PARAMS) > PARAMS.answer_tokens) for slot in slots)


def test_without_a_tail_no_slot_is_long_and_the_others_keep_their_lengths() -> None:
    plain = replace(PARAMS, long_permille=0, long_tokens=0)
    for slot in drawn(PARAMS, 50):
        assert not slot.is_long(plain)
        assert slot.is_long(PARAMS) or slot.answer_tokens(plain) == slot.answer_tokens(PARAMS)
    assert all(slot.is_long(replace(PARAMS, long_permille=1000)) for slot in drawn(PARAMS, 50))
