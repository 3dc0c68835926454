"""A table of shapes shows what requests look like, and no request that stands alone."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.observed import ObservedRequest, table_of
from p2pverify.core.contract.shapes import SHAPES_MAX, RequestShape, read_shapes, shapes_value

lengths = st.one_of(st.sampled_from([0, 16, 256, 5000]), st.integers(0, 1024))
requests = st.lists(
    st.builds(ObservedRequest, st.integers(0, 400), lengths, st.integers(0, 2100)), min_size=1, max_size=60
)


@given(requests, st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_each_row_stands_for_enough_requests(found: list[ObservedRequest], least: int) -> None:
    """Any requests make a valid table, without rows for fewer than the least number of requests."""
    if len(found) < least:
        with pytest.raises(ValueError, match="fewer than"):
            table_of(found, least)
        return
    table = table_of(found, least)
    assert read_shapes(shapes_value(table)) == table
    assert len(table) <= max(1, len(found) // least)
    rounded = 1000 / (2 * len(found)) + 1
    assert all(shape.weight >= 1000 * least / len(found) - rounded for shape in table)
    assert abs(sum(shape.weight for shape in table) - 1000) <= len(table)


@given(requests, st.integers(2, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_a_single_request_is_not_read_off(found: list[ObservedRequest], least: int, data: st.DataObject) -> None:
    """A length that fewer clients named stands in no row by itself, and no row has its temperature by itself."""
    if len(found) < least:
        return
    table, counts = table_of(found, least), Counter(one.answer_tokens for one in found)
    one = data.draw(st.sampled_from(found))
    if 2 < one.answer_tokens <= 1024 and counts[one.answer_tokens] < least:
        assert (one.answer_tokens, one.answer_tokens) not in {(each.answer_from, each.answer_to) for each in table}
    assert all(each.prompt_to > each.prompt_from for each in table)


def test_what_most_clients_ask_is_what_the_table_says() -> None:
    """By hand: lengths that many name stay as they are, prompts are buckets, rare requests join the nearest row."""
    seen = [ObservedRequest(10, 0, 1000)] * 60 + [ObservedRequest(20, 256, 700)] * 38
    seen += [ObservedRequest(13, 255, 704), ObservedRequest(300, 0, 1300)]
    assert table_of(seen, 20) == (
        RequestShape(610, 9, 256, 0, 0, 1000),
        RequestShape(390, 13, 20, 256, 256, 700),
    )


def test_rare_lengths_share_a_range() -> None:
    seen = [ObservedRequest(10, 100 + number, 1000) for number in range(60)]
    assert table_of(seen, 20) == (RequestShape(483, 9, 10, 65, 128, 1000), RequestShape(517, 9, 10, 129, 256, 1000))


def test_many_kinds_of_requests_make_no_more_than_the_most_rows() -> None:
    """Rows stand for more requests then."""
    seen = [ObservedRequest(prompt, answer, heat) for prompt in range(1, 250) for answer in (1, 9) for heat in (0, 700)]
    assert 16 <= len(table_of(seen, 1)) <= SHAPES_MAX
