"""Fits thresholds to the measures of honest answers, and bounds the rate of false alarms.

An answer's total grows with its tokens, so a threshold is a line, base + slope * tokens. The slope is a multiple of
the mean square of a token's margin. The base follows from the totals that exceed slope * tokens most:

- Above a high quantile, the excesses are modelled as exponential (peaks over a threshold, Pickands 1975), because
  squares of normal errors have an exponential tail. The scale of the tail is raised by its standard error.
- The base is the value where this tail falls to the target rate. It is higher if more answers than that rate exceed it.

The base is an extrapolation. Only `upper_bound_ppm` gives a bound from observed answers. The pooled test bets on the
lines of a match and of a mismatch, with bounds of the shares of honest answers above them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.core.inference.compare import Measure, Verdict, verdict

SAMPLES_MIN = 20
MILLION = 1_000_000

TAIL_FROM = 0.95  # the tail begins at this quantile
TAIL_MIN = 10  # excesses in the tail, if there are enough answers
MATCH_SLOPES, MATCH_RATE = 1, 1e-2  # slope in multiples of the mean square; share of honest answers above the line
MISMATCH_SLOPES, MISMATCH_RATE = 2, 1e-3
END_PEAKS = 2  # multiples of the largest margin whose rate is at least MISMATCH_RATE
HONEST_PPM_MIN = 10_000
CONFIDENCE = 0.95
#: What the pooled test keeps of its capital at a match.
POOL_KEEPS_PPM = 850_000


def fit(measures: Sequence[Measure]) -> Across:
    """Thresholds that fit these honest answers. Raises ValueError if there are fewer than SAMPLES_MIN."""
    if len(measures) < SAMPLES_MIN:
        raise ValueError(f"{len(measures)} answers are too few to calibrate with: {SAMPLES_MIN} at least")
    mean = sum(one.total for one in measures) / sum(one.count for one in measures)
    peak = _not_rarer(sorted(one.peak for one in measures), MISMATCH_RATE)
    match_slope, mismatch_slope = math.ceil(MATCH_SLOPES * mean), math.ceil(MISMATCH_SLOPES * mean)
    match_base = _base(measures, match_slope, MATCH_RATE)
    mismatch_base = max(_base(measures, mismatch_slope, MISMATCH_RATE), match_base)
    return Across(match_base, match_slope, mismatch_base, mismatch_slope, END_PEAKS * peak, HONEST_PPM_MIN)


def _base(measures: Sequence[Measure], slope: int, rate: float) -> int:
    """The line's base, at least 0: about a share `rate` of the totals exceed base + slope * tokens."""
    over = sorted(one.total - slope * one.count for one in measures)
    seen = max(0, _not_rarer(over, rate))
    start = over[max(0, min(int(TAIL_FROM * (len(over) - 1)), len(over) - 1 - TAIL_MIN))]
    excesses = [value - start for value in over if value > start]
    if not excesses:
        return seen
    scale = sum(excesses) / len(excesses) * (1 + 1 / math.sqrt(len(excesses)))
    share = len(excesses) / len(over)
    return max(seen, math.ceil(start + scale * math.log(share / rate)))


def _not_rarer(ordered: Sequence[int], rate: float) -> int:
    """The least of the values in `ordered` (ascending) that at most a share `rate` of them exceed."""
    return ordered[-1 - int(rate * len(ordered))]


@dataclass(frozen=True, slots=True)
class Exceeding:
    """How many of `samples` honest answers lay above the line of a match, and of them above that of a mismatch."""

    samples: int
    unmatched: int
    mismatches: int

    def __add__(self, other: "Exceeding") -> "Exceeding":
        return Exceeding(
            self.samples + other.samples, self.unmatched + other.unmatched, self.mismatches + other.mismatches
        )


def exceeding(measures: Sequence[Measure], across: Across) -> Exceeding:
    """Count the answers above the lines of thresholds that were fitted to other answers."""
    found = [verdict(one, across) for one in measures]
    return Exceeding(len(found), len(found) - found.count(Verdict.MATCH), found.count(Verdict.MISMATCH))


def make_pool(across: Across, seen: Exceeding) -> Pool:
    """The bets of the pooled test on the lines of `across`. Both rates are below their bounds with 95 % confidence."""
    confidence = 1 - (1 - CONFIDENCE) / 2
    match_ppm = upper_bound_ppm(seen.unmatched, seen.samples, confidence)
    mismatch_ppm = upper_bound_ppm(seen.mismatches, seen.samples, confidence)
    lines = {
        Line(across.match_base, across.match_slope, match_ppm),
        Line(across.mismatch_base, across.mismatch_slope, mismatch_ppm),
    }
    return Pool(POOL_KEEPS_PPM, tuple(sorted(lines)))


def upper_bound_ppm(failures: int, samples: int, confidence: float = CONFIDENCE) -> int:
    """Upper end of the one-sided 95 % interval of a rate (Clopper, Pearson 1934), in parts per million.

    Without failures the bound is nearly 3 / samples (the rule of three). Without samples it is the whole range.
    """
    if failures >= samples:
        return MILLION
    low, high = 0, MILLION
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(failures, samples, middle / MILLION) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound_ppm(successes: int, samples: int) -> int:
    """Lower end of the one-sided 95 % interval of a rate, in parts per million."""
    return MILLION - upper_bound_ppm(samples - successes, samples)


def _at_most(failures: int, samples: int, rate: float) -> float:
    """Probability of at most `failures` failures in `samples` independent trials (binomial distribution)."""
    return math.fsum(
        math.exp(
            math.lgamma(samples + 1)
            - math.lgamma(count + 1)
            - math.lgamma(samples - count + 1)
            + count * math.log(rate)
            + (samples - count) * math.log1p(-rate)
        )
        for count in range(failures + 1)
    )
