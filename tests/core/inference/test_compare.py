"""Measures and verdicts: what counts, what does not count, and that every number has a verdict."""

from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.classes import THRESHOLD_MAX, Across
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.encoding.canon import Value, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import (
    CAP_MICRONATS,
    END_MISSING,
    PEAK_MAX,
    TOTAL_MAX,
    Measure,
    Verdict,
    malformed,
    measure,
    measures_value,
    read_measures,
    squared,
    total_of,
    verdict,
    verdict_digest,
)
from p2pverify.core.records.payloads.vote import ASKED_MAX

BOUNDS = Across(250_000, 20_000, 500_000, 40_000, 2_000_000, 10_000)

uints = st.integers(0, THRESHOLD_MAX)
measures = st.builds(Measure, st.integers(0, ANSWER_TOKENS_MAX), st.integers(0, TOTAL_MAX), uints, uints)


@st.composite
def bounds(draw: st.DrawFn) -> Across:
    low, high = sorted((draw(uints), draw(uints)))
    flat, steep = sorted((draw(uints), draw(uints)))
    return Across(low, flat, high, steep, draw(st.integers(0, END_MISSING - 1)), 10_000)


def test_a_measure_counts_sums_squares_and_caps() -> None:
    """Each margin counts with its square in 1e-6 square nats, up to the cap. The greatest margin counts half."""
    deficits = (0, 999, 300_000, 500_000, 2_000_001)
    assert [squared(deficit) for deficit in deficits] == [0, 0, 90_000, 250_000, CAP_MICRONATS]
    assert measure(deficits, [False] * 5, "length", 5) == Measure(5, 340_000 + CAP_MICRONATS // 2, 2_000_001, 0)
    assert measure((2**40,), [False], "length", 1) == Measure(1, CAP_MICRONATS // 2, PEAK_MAX, 0)
    assert [total_of(deficits) for deficits in ((), (0,), (3_000,), (3_000, 3_000))] == [0, 0, 4, 13]


@pytest.mark.parametrize(
    ("ends", "finish", "tokens_max", "end"),
    [
        ([False, False], "length", 2, 0),
        ([False, True], "stop", 9, 70),
        ([False, True], "stop", 2, 70),
        ([False, True], "length", 2, 0),
        ([False, False], "length", 3, END_MISSING),
        ([False, False], "stop", 2, END_MISSING),
        ([False, True], "length", 3, END_MISSING),
        ([True, False], "length", 2, END_MISSING),
        ([True, True], "stop", 2, END_MISSING),
        ([False, False], "length", 1, END_MISSING),
        ([False, True], "stop", 1, END_MISSING),
        ([], "stop", 2, END_MISSING),
        ([], "length", 0, END_MISSING),
    ],
)
def test_an_answer_ends_as_it_should_or_not(ends: list[bool], finish: str, tokens_max: int, end: int) -> None:
    """An answer ends by its length or by an ending token, whose margin counts. No token follows that token."""
    deficits = (5, 70)[: len(ends)]
    assert measure(deficits, ends, finish, tokens_max).end == end


def test_what_cannot_be_scored_is_a_mismatch_under_any_bounds() -> None:
    """No value of `end_max` accepts a missing end."""
    widest = Across(2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, END_MISSING - 1, 10_000)
    for count in (0, 1, ANSWER_TOKENS_MAX):
        assert verdict(malformed(count), widest) is Verdict.MISMATCH
        assert malformed(count).total <= TOTAL_MAX


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Measure(10, 450_000, 0, 0), Verdict.MATCH),
        (Measure(10, 450_001, 0, 0), Verdict.INCONCLUSIVE),
        (Measure(10, 900_000, 0, 0), Verdict.INCONCLUSIVE),
        (Measure(10, 900_001, 0, 0), Verdict.MISMATCH),
        (Measure(10, 0, 0, 2_000_000), Verdict.MATCH),
        (Measure(10, 0, 0, 2_000_001), Verdict.MISMATCH),
        (Measure(0, 250_000, 0, 0), Verdict.MATCH),
        (Measure(10, 0, PEAK_MAX, 0), Verdict.MATCH),
    ],
)
def test_bounds_are_inclusive_in_favour_of_the_answer(found: Measure, expected: Verdict) -> None:
    """A value equal to a bound is on the good side. The peak alone decides nothing."""
    assert verdict(found, BOUNDS) is expected


_ORDER = [Verdict.MATCH, Verdict.INCONCLUSIVE, Verdict.MISMATCH]


@given(measures, bounds(), st.integers(0, TOTAL_MAX), uints)
@settings(deadline=None, max_examples=100)
def test_a_greater_margin_never_helps(found: Measure, given_bounds: Across, more: int, end: int) -> None:
    """A greater sum or a less likely end gives the same verdict or a worse one."""
    before = _ORDER.index(verdict(found, given_bounds))
    for worse in (
        replace(found, total=max(found.total, more)),
        replace(found, end=max(found.end, end)),
    ):
        assert _ORDER.index(verdict(worse, given_bounds)) >= before


@given(st.lists(uints, max_size=20), st.data())
@settings(deadline=None, max_examples=100)
def test_a_measure_is_within_its_limits(deficits: list[int], data: st.DataObject) -> None:
    """For all engine outputs, the measure can be encoded."""
    ends = data.draw(st.lists(st.booleans(), min_size=len(deficits), max_size=len(deficits)))
    finish, tokens_max = data.draw(st.sampled_from(("stop", "length"))), data.draw(st.integers(1, 20))
    found = measure(deficits, ends, finish, tokens_max)
    assert found.count == len(deficits)
    assert found.total <= found.count * CAP_MICRONATS
    assert read_measures(cast("list[Value]", [found.to_value()]), 1) == (found,)


@given(st.lists(st.one_of(st.none(), measures), max_size=ASKED_MAX).map(tuple))
@settings(deadline=None, max_examples=100)
def test_measures_are_read_back(found: tuple[Measure | None, ...]) -> None:
    """Measures are read back from their encoding. One more than the limit is refused."""
    value = decode(encode(measures_value(found)), size_max=4096)
    assert read_measures(value, 31) == found
    if found:
        with pytest.raises(DecodeError, match="measures: more than"):
            read_measures(value, len(found) - 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([[ANSWER_TOKENS_MAX + 1, 0, 0, 0]], "count: above"),
        ([[1, TOTAL_MAX + 1, 0, 0]], "total: above"),
        ([[1, 0, PEAK_MAX + 1, 0]], "peak: above"),
        ([[1, 0, 0, END_MISSING + 1]], "end: above"),
        ([[1, 0, 0]], "measure: not 4 items"),
        ([-1], "measure"),
    ],
)
def test_other_measures_are_refused(value: list[object], reason: str) -> None:
    """Each number has a limit."""
    with pytest.raises(DecodeError, match=reason):
        read_measures(value, 31)  # type: ignore[arg-type]  # wrong on purpose


@given(measures, measures)
@settings(deadline=None, max_examples=100)
def test_a_vote_names_every_measure_in_its_place(one: Measure, two: Measure) -> None:
    """Other measures, another order or another question give another vote."""
    question = bytes(32)
    base = verdict_digest(question, (one, None, two))
    others = {(one, two, None), (None, one, two), (one, None), (two, None, one), (one, None, two)} - {(one, None, two)}
    assert all(verdict_digest(question, other) != base for other in others)
    assert verdict_digest(b"\1" * 32, (one, None, two)) != base
