"""The duration of the sequential test: its exact Markov chain over judged answers, with given outcome probabilities.

The results are expectations for reports and tests. No verdict uses them.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.odds import TestSteps

#: A conviction after more audits than this counts as none.
AUDITS_MAX = 20_000
#: The chain is followed until the probability of no conviction is below this.
REST = 1e-6


@dataclass(frozen=True, slots=True)
class Chances:
    """The probabilities that one audit counts as a dissent or as an agreement. Otherwise it has no effect.

    Raises ValueError if they are negative or their sum is above 1.
    """

    dissent: float
    agreement: float

    def __post_init__(self) -> None:
        if min(self.dissent, self.agreement) < 0 or self.dissent + self.agreement > 1 + 1e-9:
            raise ValueError(f"{self.dissent:g} and {self.agreement:g} are not chances of two outcomes")


def lies_at(rate: float, lie: Chances, honest: Chances) -> Chances:
    """The probabilities for a peer that lies in a share `rate` of its answers."""
    return Chances(
        rate * lie.dissent + (1 - rate) * honest.dissent, rate * lie.agreement + (1 - rate) * honest.agreement
    )


def over_long_answers(steps: TestSteps, chances: Chances, share: float) -> tuple[TestSteps, Chances]:
    """The test over long answers, per audit, if this share of the audits is long.

    `chances` are those of a long audit. All other audits have no effect.
    """
    long = Chances(share * chances.dissent, share * chances.agreement)
    return replace(steps, threshold=steps.long_threshold), long


def drifts_up(steps: TestSteps, chances: Chances) -> bool:
    """Whether the test's sum grows on average, so that a conviction is certain in the long run."""
    return chances.dissent * steps.up > chances.agreement * steps.down


@lru_cache(maxsize=256)
def survival(steps: TestSteps, chances: Chances, audits_max: int = AUDITS_MAX) -> NDArray[np.float64]:
    """The probability of no conviction after 0, 1, 2, ... audits: an array that ends below REST or at `audits_max`."""
    below = np.zeros(steps.threshold)
    below[0] = 1.0
    stay = 1 - chances.dissent - chances.agreement
    down, up = min(steps.down, steps.threshold), min(steps.up, steps.threshold)
    found = [1.0]
    while found[-1] >= REST and len(found) <= audits_max:
        after = stay * below
        after[: steps.threshold - down] += chances.agreement * below[down:]
        after[0] += chances.agreement * below[:down].sum()
        after[up:] += chances.dissent * below[: steps.threshold - up]
        found.append(float(after.sum()))
        below = after
    return np.array(found)


def mean_audits(steps: TestSteps, chances: Chances) -> float | None:
    """The expected number of audits until conviction; None if the sum does not grow or AUDITS_MAX is too small.

    The mean of a waiting time is the sum of its survival function.
    """
    if not drifts_up(steps, chances):
        return None
    alive = survival(steps, chances)
    if alive[-1] >= REST:
        return None
    return float(alive[:-1].sum())


def audits_for(steps: TestSteps, chances: Chances, certainty: float) -> int | None:
    """The audits until a conviction has at least the probability `certainty`; None if more than AUDITS_MAX."""
    alive = survival(steps, chances)
    reached = np.flatnonzero(alive <= 1 - certainty)
    return int(reached[0]) if reached.size else None
