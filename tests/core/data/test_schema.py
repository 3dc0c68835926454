"""Schemas are read strictly, and values become equal numbers on every machine."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.data.schema import CELL_MAX, ONE, DataFeature, decode_schema
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from tests.support.datasets import SCHEMA, rows


def test_a_schema_is_read_as_it_was_written() -> None:
    assert decode_schema(SCHEMA.encode()) == SCHEMA
    assert SCHEMA.row_bytes == 5
    assert all(SCHEMA.cells(row)[1] == number % 2 for number, row in enumerate(rows(4)))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(-(10**9), 10**9),
    st.integers(1, 10**9),
    st.fractions(-1000, 1000, max_denominator=10**6),
    st.fractions(0, 100, max_denominator=1000),
)
def test_numbers_rise_with_values_and_stay_in_range(offset: int, scale: int, value: Fraction, more: Fraction) -> None:
    feature = DataFeature("x", "", offset, scale, ())
    low, high = feature.cell(value), feature.cell(value + more)
    assert -CELL_MAX <= low <= high <= CELL_MAX
    exact = (value * 10**6 - offset) * ONE / scale
    assert abs(exact) > CELL_MAX or abs(low - exact) <= Fraction(1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-CELL_MAX, CELL_MAX), min_size=2, max_size=2), st.integers(0, 1))
def test_rows_are_read_as_they_were_written(cells: list[int], label: int) -> None:
    values = [Fraction(cell * one.scale, ONE * 10**6) + Fraction(one.offset, 10**6)
              for cell, one in zip(cells, SCHEMA.features, strict=True)]  # fmt: skip
    row = SCHEMA.row(values, label)
    assert SCHEMA.cells(row) == (tuple(cells), label)


def test_a_row_has_a_label_of_the_schema() -> None:
    with pytest.raises(ValueError, match="no such label"):
        SCHEMA.row((Fraction(1), Fraction(2)), 2)
    with pytest.raises(DecodeError, match="no such label"):
        SCHEMA.cells(bytes(4) + b"\x02")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(SCHEMA.encode()) - 1), st.integers(1, 255))
def test_other_bytes_are_another_schema_or_none(place: int, change: int) -> None:
    data = bytearray(SCHEMA.encode())
    data[place] ^= change
    try:
        found = decode_schema(bytes(data))
    except DecodeError:
        return
    assert found.encode() == bytes(data)
    assert found.id != SCHEMA.id


def test_noise_is_no_schema() -> None:
    for value in ([], ["p2pverify/schema/1", [], "y", ["a", "b"]], 7, "x"):
        with pytest.raises(DecodeError):
            decode_schema(encode(value))
