"""Pearson's chi-square test of integers against the weights of their values."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt

#: The quantile of the normal distribution at 1 - 1e-6.
QUANTILE = 4.753


def chi_square(drawn: Sequence[int], weight: Callable[[int], float], *, reach: int) -> None:
    """Fails if the draws do not fit the weights, which are 0 beyond ±reach. Fails once in a million for right draws.

    Values whose expected count is below 10 are one class. The quantile is Wilson's and Hilferty's.
    """
    weights = {value: weight(value) for value in range(-reach, reach + 1)}
    whole = sum(weights.values())
    counts, rest, rest_expected, terms = Counter(drawn), 0, 0.0, []
    assert counts.keys() <= weights.keys()
    for value, each in weights.items():
        expected = len(drawn) * each / whole
        if expected < 10:
            rest, rest_expected = rest + counts[value], rest_expected + expected
        else:
            terms.append((counts[value] - expected) ** 2 / expected)
    if rest_expected >= 10:
        terms.append((rest - rest_expected) ** 2 / rest_expected)
    freedom = len(terms) - 1
    part = 2 / (9 * freedom)
    assert sum(terms) < freedom * (1 - part + QUANTILE * sqrt(part)) ** 3
