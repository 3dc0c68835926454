"""What a round draws, and the numbers of a result."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.training.draws import batch_seed, credit_seed, row_order, shown_rows
from p2pverify.core.training.result import MICRONATS_MAX, read_signed, signed_value
from tests.support.chi_square import chi_square


@given(st.binary(min_size=32, max_size=32), st.integers(0, 300))
def test_the_order_of_rows_has_each_row_once(seed: bytes, rows: int) -> None:
    order = row_order(seed, rows)
    assert sorted(order) == list(range(rows))
    assert order == row_order(seed, rows)


def test_orders_are_uniform() -> None:
    """Each of the 24 orders of four rows is as likely."""
    orders = list(permutations(range(4)))
    drawn = [orders.index(tuple(row_order(sha256(b"%d" % number), 4))) for number in range(4800)]
    chi_square(drawn, lambda value: value >= 0, reach=23)


def test_shown_rows_are_those_behind_the_ones_shown_before() -> None:
    order = row_order(bytes(32), 50)
    shown = [shown_rows(order, position, 8) for position in (0, 8, 16)]
    assert sorted(row for rows in shown for row in rows) == sorted(order[:24])
    assert all(rows == sorted(rows) for rows in shown)


def test_seeds_are_of_one_round_and_one_author() -> None:
    seeds = {
        batch_seed(beacon, line, number, author)
        for beacon in (bytes(32), sha256(b"beacon"))
        for line in (0, 1)
        for number in (1, 2)
        for author in (bytes(32), sha256(b"author"))
    }
    assert len(seeds) == 16
    assert credit_seed(bytes(32), 0, 1) not in seeds


@given(st.integers(-MICRONATS_MAX, MICRONATS_MAX))
def test_numbers_with_a_sign_are_read_as_written(number: int) -> None:
    assert read_signed(decode(encode(signed_value(number)), size_max=16), "number") == number
