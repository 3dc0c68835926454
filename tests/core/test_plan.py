"""Plans: the figures of the example, and formulas against a count of all cases."""

from fractions import Fraction
from itertools import product

import pytest

from p2pverify.core.plan import MILLION, CheckPlan, CheckPlanError

FEE = 10_000


def test_the_figures_of_the_example() -> None:
    """At 0.01 for each of 100 requests: 1.00 for one peer, 5.00 for five every time, 1.40 for five in one of ten."""
    assert [CheckPlan(100, FEE, panel, every).cost for panel, every in ((1, 10), (5, 1), (5, 10))] == [
        1_000_000, 5_000_000, 1_400_000,
    ]  # fmt: skip
    assert CheckPlan(100, FEE, 5, 10).escrow == 10 * FEE
    assert CheckPlan(100, FEE, 1, 10).escrow is None


@pytest.mark.parametrize(("requests", "every"), [(6, 2), (7, 3), (5, 5), (4, 1), (3, 4)])
@pytest.mark.parametrize("rate_ppm", [1_000_000, 500_000, 100_000])
def test_outlooks_are_sums_over_all_cases(requests: int, every: int, rate_ppm: int) -> None:
    """All places of the checks and all patterns of lies, each with its probability, give the same two numbers."""
    rate = Fraction(rate_ppm, MILLION)
    windows = requests // every
    caught, passed = Fraction(0), Fraction(0)
    for places in product(range(every), repeat=windows):
        checked = {window * every + place for window, place in enumerate(places)}
        for lies in product((False, True), repeat=requests):
            chance = Fraction(1, every**windows)
            for lie in lies:
                chance *= rate if lie else 1 - rate
            end = next((at for at in sorted(checked) if lies[at]), None)
            caught += chance * (end is not None)
            passed += chance * sum(lies[:end])
    found = CheckPlan(requests, FEE, 3, every).outlook(rate_ppm)
    assert found.caught_ppm == caught * MILLION // 1
    assert found.passed_milli == -(-passed * 1000 // 1)


@pytest.mark.parametrize("numbers", [(100, 10), (107, 10), (99, 7), (50, 50)])
def test_no_rate_of_lies_pays_with_the_escrow(numbers: tuple[int, int]) -> None:
    """The gain of all lies, also of the caught one, is at most the escrow times the probability of losing it."""
    plan = CheckPlan(numbers[0], FEE, 5, numbers[1])
    assert plan.escrow is not None
    for rate_ppm in (1, 1000, 100_000, 500_000, MILLION):
        found = plan.outlook(rate_ppm)
        gain = Fraction(found.passed_milli - 1, 1000) * FEE + Fraction(found.caught_ppm, MILLION) * FEE
        assert gain <= plan.escrow * Fraction(found.caught_ppm + 1, MILLION)
    rare = plan.outlook(1000)
    assert plan.escrow * 0.9 * rare.caught_ppm < (rare.passed_milli * 1000 + rare.caught_ppm) * FEE


def test_numbers_out_of_range_make_no_plan() -> None:
    """The message names the number."""
    for numbers, name in (((0, 1, 1, 1), "requests"), ((1, -1, 1, 1), "fee"), ((1, 1, 32, 1), "panel")):
        with pytest.raises(CheckPlanError, match=f"{name} is not from"):
            CheckPlan(*numbers)
    with pytest.raises(CheckPlanError, match="rate is not from 1 to 1000000 ppm"):
        CheckPlan(1, 1, 1, 1).outlook(0)
