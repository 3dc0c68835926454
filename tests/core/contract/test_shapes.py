"""The table of shapes: a slot draws one row by its weight and stays within it, and the draw alone says what is long."""

from collections import Counter
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract import sortition
from p2pverify.core.contract.lengths import context_tokens, expected_tokens, long_share, open_length
from p2pverify.core.contract.network import Params
from p2pverify.core.contract.output import NO_KEY, Ask
from p2pverify.core.contract.shapes import (
    ANSWER_TOKENS_MAX,
    PROMPT_TOKENS_MAX,
    SHAPE_BOUNDS,
    SHAPES_MAX,
    USUAL_CONTEXT_TOKENS,
    RequestShape,
    choose_shape,
    read_shapes,
    shapes_value,
)
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Compute
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.state.verdicts.duties import is_sampled
from tests.support.networks import LOWEST

PARAMS = replace(
    Params(**LOWEST),
    slots_milli=16_000,
    prompt_tokens=32,
    answer_tokens=64,
    temperature_milli=800,
)
TABLE = (
    RequestShape(1, 1, 8, 16, 64, 0),
    RequestShape(5, 9, 40, 0, 0, 1000),
    RequestShape(2, 9, 40, 128, 256, 700),
)


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda pair: (min(pair), max(pair)))


rows = st.builds(
    lambda weight, prompt, answer, heat: RequestShape(weight, prompt[0], prompt[1], answer[0], answer[1], heat),
    st.integers(1, 65_535),
    ranges(1, PROMPT_TOKENS_MAX),
    st.just((0, 0)) | ranges(1, ANSWER_TOKENS_MAX),
    st.integers(0, 2000),
)
tables = st.lists(rows, min_size=1, max_size=6, unique_by=lambda row: astuple(row)[1:]).map(
    lambda found: tuple(sorted(found, key=lambda row: astuple(row)[1:]))
)


def drawn(params: Params, count: int) -> list[sortition.Slot]:
    return [slot for number in range(count) for slot in sortition.slots(sha256(b"%d" % number) * 2, params)]


@given(tables)
@settings(deadline=None, max_examples=25)
def test_a_table_is_read_back(table: tuple[RequestShape, ...]) -> None:
    assert read_shapes(shapes_value(table)) == table


@given(tables, st.binary(min_size=64, max_size=64), st.integers(0, 1000), st.integers(1, 1200))
@settings(deadline=None, max_examples=25)
def test_a_slot_is_within_one_row(table: tuple[RequestShape, ...], beta: bytes, tail: int, whole: int) -> None:
    """Outside of the tail. A slot is long if it may ask for more than the usual answer."""
    params = replace(PARAMS, shapes=table, long_permille=tail, long_tokens=500 if tail else 0)
    for slot in sortition.slots(beta, params):
        asked = slot.answer_tokens(params, whole)
        fitting = [
            row
            for row in table
            if row.prompt_from <= slot.prompt_tokens(params) <= row.prompt_to
            and row.temperature_milli == slot.temperature_milli(params)
        ]
        assert fitting
        assert slot.greedy == (slot.temperature_milli(params) == 0) == (not is_sampled(slot, params))
        if slot.is_open(params):
            assert any(row.is_open for row in fitting)
            assert asked == open_length(params, whole) <= slot.answer_tokens(params)
            assert slot.is_long(params)
        else:
            assert asked == slot.answer_tokens(params)
            assert slot.is_long(params) == (asked > params.answer_tokens)
            in_tail = tail and params.answer_tokens < asked <= 500
            assert in_tail or any(row.answer_from <= asked <= row.answer_to for row in fitting)


def test_rows_are_drawn_by_weight_and_fill_their_ranges() -> None:
    params = replace(PARAMS, shapes=TABLE)
    slots = drawn(params, 250)
    heats = Counter(slot.temperature_milli(params) for slot in slots)
    assert [round(8 * heats[heat] / len(slots)) for heat in (0, 700, 1000)] == [1, 2, 5]
    greedy = [slot for slot in slots if slot.greedy]
    assert {slot.prompt_tokens(params) for slot in greedy} == set(range(1, 9))
    assert {slot.answer_tokens(params) for slot in greedy} == set(range(16, 65))
    assert abs(sum(slot.is_long(params) for slot in slots) / len(slots) - long_share(params)) < 0.02
    named = sum(slot.answer_tokens(params, slot.prompt_tokens(params)) for slot in slots) / len(slots)
    assert abs(named / float(expected_tokens(params)) - 1) < 0.04


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=50)
def test_the_row_of_a_number(number: int) -> None:
    """Of eight numbers one gives the first row, five the second and two the third."""
    assert choose_shape(TABLE, number) == TABLE[(0, 1, 1, 1, 1, 1, 2, 2)[number % 8]]


def test_the_tail_is_over_the_table() -> None:
    """A lie in lengths that no client asks for is still caught: the tail has the share that the contract says."""
    params = replace(PARAMS, shapes=TABLE[:1], long_permille=250, long_tokens=928)
    slots = drawn(params, 250)
    assert abs(sum(slot.is_long(params) for slot in slots) / len(slots) - 0.25) < 0.02
    assert long_share(params) == params.long_permille / 1000
    assert all(slot.is_long(params) == (slot.answer_tokens(params) > 64) for slot in slots)


def test_an_open_answer_fills_the_context() -> None:
    """Prompt and answer together, at least one token, and no more than other rules allow."""
    params = replace(PARAMS, shapes=TABLE)
    assert context_tokens(params) == USUAL_CONTEXT_TOKENS
    assert [open_length(params, size) for size in (0, 100, 1023, 1024, 5000)] == [1024, 924, 1, 1, 1]
    wide = replace(PARAMS, shapes=(RequestShape(1, 1, 256, 1, 1024, 0),))
    assert (context_tokens(wide), open_length(wide, 100)) == (1280, 1024)


def test_an_engine_gets_an_open_question_with_the_room_of_its_prompt() -> None:
    """As it stands in the derived question. Without an answer to make there is none."""
    job = Compute(1, Purpose.AUDIT, 0, Ask((), 1024, 1000, NO_KEY), bytes(16), 8, context_tokens=1024)
    assert job.asked((7,) * 40) == Ask((7,) * 40, 984, 1000, NO_KEY)
    assert replace(job, context_tokens=0).asked((7,)).tokens_max == 1024
    assert replace(job, ask=Ask((), 0, 0, NO_KEY)).asked((7,)).tokens_max == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "shapes: empty"),
        ([list(astuple(TABLE[0]))] * (SHAPES_MAX + 1), "shapes: more than 64 items"),
        ([[1, 1, 8, 16, 64]], "shape: not 6 items"),
        ([[1, 8, 1, 16, 64, 0]], "ends before it begins"),
        ([[1, 1, 8, 65, 64, 0]], "ends before it begins"),
        ([[1, 1, 8, 0, 64, 0]], "answers of no tokens"),
        ([[1, 1, 8, 1, 64, 0], [2, 1, 8, 1, 64, 0]], "shapes are not sorted and distinct"),
        ([[1, 9, 9, 1, 64, 0], [1, 1, 8, 1, 64, 0]], "shapes are not sorted and distinct"),
        *(
            ([[*(1, 1, 8, 1, 64, 0)[:at], high + 1, *(1, 256, 1024, 1024, 2000)[at:]]], name)
            for at, (name, _, high) in enumerate(SHAPE_BOUNDS)
        ),
        ([[0, 1, 8, 16, 64, 0]], "weight is below 1"),
        ([[1, 0, 8, 16, 64, 0]], "prompt_from is below 1"),
    ],
)
def test_tables_that_make_no_sense(value: Any, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_shapes(value)


def test_the_largest_table_is_small() -> None:
    """It leaves a definition room for the rest."""
    row = [high for _, _, high in SHAPE_BOUNDS]
    assert len(encode([row] * SHAPES_MAX)) < 1300
