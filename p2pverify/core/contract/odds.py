"""The steps and thresholds of the sequential tests, from the rates and the odds of the contract."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache

#: The pooled test and the test over long answers have an eighth of the contract's odds each.
ODDS_FACTOR = 8
_EXACT = Context(prec=40)


@dataclass(frozen=True, slots=True)
class TestSteps:
    """The sequential test of one class, in 1/1024 nat, rounded in favour of the accused."""

    up: int  # per dissent
    down: int  # per agreement
    threshold: int  # conviction
    long_threshold: int  # conviction by the test over long answers


@lru_cache(maxsize=256)
def test_steps(honest_ppm: int, cheat_ppm: int, conviction_odds: int) -> TestSteps:
    """Steps of the CUSUM log-likelihood test (Page 1954; Wald's SPRT steps) of `cheat` against `honest`.

    Decimal.ln is correctly rounded, so every implementation gets the same integers. Arguments: two rates in parts per
    million, and the likelihood ratio that convicts.
    """
    p0, p1 = Decimal(honest_ppm), Decimal(cheat_ppm)
    million = Decimal(1_000_000)
    up = _EXACT.multiply(1024, _EXACT.ln(_EXACT.divide(p1, p0)))
    down = _EXACT.multiply(1024, _EXACT.ln(_EXACT.divide(million - p0, million - p1)))
    return TestSteps(
        int(up.to_integral_value(ROUND_FLOOR)),
        int(down.to_integral_value(ROUND_CEILING)),
        threshold_at(conviction_odds),
        threshold_at(ODDS_FACTOR * conviction_odds),
    )


@lru_cache(maxsize=16)
def threshold_at(odds: int) -> int:
    """The logarithm of the odds at which a test convicts, in 1/1024 nat."""
    exact = _EXACT.multiply(1024, _EXACT.ln(Decimal(odds)))
    return int(exact.to_integral_value(ROUND_CEILING))
