"""The pooled test: its integers, and that it convicts honest peers at most at the contract's odds."""

from dataclasses import replace
from decimal import Decimal, getcontext
from fractions import Fraction
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import ODDS_FACTOR
from p2pverify.core.contract.pool import MILLION, Line, Pool
from p2pverify.core.inference.compare import END_MISSING, Measure
from p2pverify.core.inference.pooled import begin, evidence, reserve, threshold
from tests.support.manifests import pools

POOL = Pool(850_000, (Line(180_000, 355, 9_600), Line(320_000, 710, 2_370)))
BOUNDS = Across(180_000, 355, 320_000, 710, 1_400_000, 10_000, POOL)


def told(total: int, end: int = 0) -> Measure:
    return Measure(64, total, 0, end)


def found(measure: Measure, bounds: Across = BOUNDS) -> int:
    value = evidence(measure, bounds)
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("measure", "capital_ppm"),
    [
        (told(0), 850_000),
        (told(202_720), 850_000),
        (told(202_721), 850_000 + 3_906_250),
        (told(365_440), 850_000 + 3_906_250),
        (told(365_441), 850_000 + 3_906_250 + 15_822_784),
        (told(0, 1_400_000), 850_000),
        (told(0, 1_400_001), 850_000 + 3_906_250 + 15_822_784),
        (told(0, END_MISSING), 850_000 + 3_906_250 + 15_822_784),
    ],
)
def test_an_answer_wins_the_bets_of_the_lines_that_it_exceeds(measure: Measure, capital_ppm: int) -> None:
    """A value equal to a line is on the good side. An answer without its right end wins all bets."""
    getcontext().prec = 30
    exact = 1024 * (Decimal(capital_ppm) / MILLION).ln()
    assert found(measure) <= exact < found(measure) + 1


def test_a_class_without_a_pool_has_no_test() -> None:
    assert evidence(told(0), replace(BOUNDS, pool=None)) is None


@given(pools, st.integers(0, 2**32), st.integers(0, 2**32), st.integers(0, 1024))
@settings(deadline=None, max_examples=100)
def test_a_greater_total_never_helps(pool: Pool, one: int, two: int, count: int) -> None:
    low, high = (Measure(count, total, 0, 0) for total in sorted((one, two)))
    bounds = replace(BOUNDS, pool=pool)
    assert found(low, bounds) <= found(high, bounds)


def outcomes(pool: Pool, shares: list[int]) -> list[tuple[Fraction, int]]:
    """The probability of each evidence for an honest peer that exceeds each line at a share (per cent) of its rate."""
    lines = sorted(pool.lines, key=lambda line: line.bound(64))
    rates = [Fraction(line.rate_ppm, MILLION) for line in lines]
    above = [min(rates[: n + 1]) for n in range(len(lines))]  # who exceeds a line exceeds all lines below it
    above = [rate * Fraction(share, 100) for rate, share in zip(above, shares, strict=True)]
    above = [max(above[n:]) for n in range(len(above))]
    bounds = replace(BOUNDS, pool=pool)
    steps = [found(told(0), bounds), *(found(told(line.bound(64) + 1), bounds) for line in lines)]
    masses = [high - low for high, low in zip([Fraction(1), *above], [*above, Fraction(0)], strict=True)]
    return list(zip(masses, steps, strict=True))


@given(pools, st.data())
@settings(deadline=None, max_examples=100)
def test_the_capital_of_an_honest_peer_falls(pool: Pool, data: st.DataObject) -> None:
    """On average at least half of the stake is lost, for all honest distributions that the rates allow."""
    shares = [data.draw(st.integers(0, 100)) for _ in pool.lines]
    mean = sum(float(mass) * exp(step / 1024) for mass, step in outcomes(pool, shares) if mass)
    assert mean <= (1 + pool.keeps_ppm / MILLION) / 2 + 1e-9


@given(pools, st.data())
@settings(deadline=None, max_examples=100)
def test_half_of_the_challengers_may_hide_what_they_like(pool: Pool, data: st.DataObject) -> None:
    """A hostile challenger hides answers that lose their bets. With as many honest ones the capital still falls."""
    found_outcomes = outcomes(pool, [data.draw(st.integers(0, 100)) for _ in pool.lines])
    honest = sum(float(mass) * exp(step / 1024) for mass, step in found_outcomes)
    chosen = sum(float(mass) * max(1.0, exp(step / 1024)) for mass, step in found_outcomes)
    assert (honest + chosen) / 2 <= 1 + 1e-9


def test_all_starts_share_one_capital() -> None:
    """The reserves of any number of starts are at most 1 together."""
    total = sum(Fraction(1, 2) ** (2 * (answers + 1).bit_length() - 1) for answers in range(100_000))
    assert total < 1
    for answers in (0, 1, 2, 3, 100, 99_999):
        exact = -(2 * (answers + 1).bit_length() - 1) * log(2) * 1024
        assert exact - 40 < reserve(answers) <= exact


def test_a_capital_starts_again_only_where_nothing_is_against_the_peer() -> None:
    """Otherwise the evidence of a dispute would count without the evidence that came before it."""
    assert begin(-50_000, 7, [-167, 0], is_disputed=False) == reserve(7)
    assert begin(reserve(7) + 1, 7, [-167], is_disputed=False) == reserve(7) + 1
    assert begin(-50_000, 7, [-167], is_disputed=True) == -50_000
    assert begin(-50_000, 7, [-167, 1], is_disputed=False) == -50_000


def test_conviction_takes_an_eighth_of_the_odds() -> None:
    assert ODDS_FACTOR == 8
    for odds in (10, 1_000_000, 10**12):
        assert threshold(odds) - 1 < 1024 * log(8 * odds) <= threshold(odds)


def conviction_chance(steps: list[tuple[Fraction, int]], odds: int, answers: int) -> float:
    """The exact probability that the test convicts within this many answers, by dynamic programming."""
    capital: dict[int, float] = {reserve(0): 1.0}
    convicted = 0.0
    for number in range(answers):
        after: dict[int, float] = {}
        for value, mass in capital.items():
            for chance, step in steps:
                moved = begin(value, number, [step], is_disputed=False) + step
                if moved >= threshold(odds):
                    convicted += mass * float(chance)
                else:
                    after[moved] = after.get(moved, 0.0) + mass * float(chance)
        capital = after
    return convicted


@pytest.mark.parametrize("odds", [10, 100])
def test_the_worst_honest_peer_is_convicted_at_most_at_the_odds(odds: int) -> None:
    """Even a peer that exceeds each line as often as an honest one may, at odds that are low enough to be reached."""
    chance = conviction_chance(outcomes(POOL, [100, 100]), odds, 100)
    assert 0 < chance <= 1 / (ODDS_FACTOR * odds)
