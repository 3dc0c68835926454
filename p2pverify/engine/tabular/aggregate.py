"""From the updates of a round to one: trimmed mean (Yin et al. 2018), multi-Krum (Blanchard et al. 2017), median, mean.

All divisions round down. Updates (contributors, weights) have a norm of at most the clip of the rule, so that no sum
reaches 2^63.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import KRUM, MEAN, MEDIAN, TRIMMED
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.update import norm_squared


def mean(updates: Ints) -> Ints:
    """The mean of each number, rounded down."""
    total: Ints = updates.sum(axis=0)
    return total // len(updates)


def trimmed_mean(updates: Ints, f: int) -> Ints:
    """The mean of each number without its f least and its f greatest values.

    With fewer than 2f + 1 updates, as many are left out as leave one or two: this is the median.
    """
    out = min(f, (len(updates) - 1) // 2)
    return mean(np.sort(updates, axis=0)[out : len(updates) - out])


def median(updates: Ints) -> Ints:
    """The median of each number. Of an even number of updates it is the mean of the two in the middle."""
    return trimmed_mean(updates, len(updates))


def multi_krum(updates: Ints, f: int) -> Ints:
    """The mean of all but the f updates with the greatest scores.

    The score of an update is the sum of its squared distances to its n - f - 2 nearest others. Of equal scores the
    earlier update is better. With n below f + 3, f counts as n - 3, or as 0.
    """
    return mean(updates[krum_choice(updates, f)])


def krum_choice(updates: Ints, f: int) -> NDArray[np.intp]:
    """The places of the updates that multi-Krum keeps, ascending."""
    count = len(updates)
    out = max(0, min(f, count - 3))
    distances = [[norm_squared(one - two) for two in updates] for one in updates]
    near = max(0, count - out - 2)
    scores = [sum(sorted(row[:at] + row[at + 1 :])[:near]) for at, row in enumerate(distances)]
    best = sorted(range(count), key=lambda at: (scores[at], at))[: count - out]
    return np.array(sorted(best), np.intp)


AGGREGATES: dict[int, Callable[[Ints, int], Ints]] = {
    TRIMMED: trimmed_mean,
    KRUM: multi_krum,
    MEDIAN: lambda updates, _: median(updates),
    MEAN: lambda updates, _: mean(updates),
}


def aggregate(updates: Ints, kind: int, f: int) -> Ints:
    """The update of a round, from at least one update, by the aggregate of a rule."""
    return AGGREGATES[kind](updates, f)
