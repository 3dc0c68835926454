"""The bets of the pooled test: what is read back, what is refused, and that won bets pay half of what is fair."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.pool import LINE_MAX, LINES_MAX, MILLION, Line, Pool, pool_value, read_pool
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from tests.support.manifests import pools

POOL = Pool(900_000, (Line(180_000, 355, 9_600), Line(320_000, 710, 2_370)))


@given(st.none() | pools)
@settings(deadline=None, max_examples=100)
def test_a_pool_is_read_back(pool: Pool | None) -> None:
    assert read_pool(decode(encode(pool_value(pool)), size_max=1024)) == pool


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([900_000], "pool: not 2 items"),
        ([900_000, []], "keeps nothing or has no lines"),
        ([0, [[1, 1, 1]]], "keeps nothing or has no lines"),
        ([MILLION, [[1, 1, 1]]], "keeps_ppm: above"),
        ([900_000, [[1, 1]]], "line: not 3 items"),
        ([900_000, [[LINE_MAX + 1, 1, 1]]], "base: above"),
        ([900_000, [[1, LINE_MAX + 1, 1]]], "slope: above"),
        ([900_000, [[1, 1, MILLION + 1]]], "rate_ppm: above"),
        ([900_000, [[1, 1, 0]]], "nothing is certain"),
        ([900_000, [[2, 1, 1], [1, 1, 1]]], "lines"),
        ([900_000, [[1, 1, 1], [1, 1, 1]]], "lines"),
        ([900_000, [[n, 1, 1] for n in range(LINES_MAX + 1)]], "lines: more than"),
        (7, "pool"),
    ],
)
def test_other_pools_are_refused(value: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_pool(value)  # type: ignore[arg-type]  # wrong on purpose


def test_a_line_grows_with_the_tokens() -> None:
    assert [POOL.lines[0].bound(count) for count in (0, 1, 64)] == [180_000, 180_355, 202_720]


def test_a_rare_bet_pays_more() -> None:
    """A twentieth of the capital is bet on each line. A bet that is won once in 104 answers pays 52 times its stake."""
    assert [POOL.pays_ppm(line) for line in POOL.lines] == [2_604_166, 10_548_523]


@given(pools)
@settings(deadline=None, max_examples=100)
def test_bets_pay_at_most_half_of_what_is_fair(pool: Pool) -> None:
    """Honest answers win each bet at most at its rate. So the bets pay at most half of the stake back on average."""
    paid = sum(Fraction(pool.pays_ppm(line) * line.rate_ppm, MILLION) for line in pool.lines)
    assert paid <= Fraction(MILLION - pool.keeps_ppm, 2)
