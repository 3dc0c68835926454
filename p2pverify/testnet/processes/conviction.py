"""How long the sequential test takes: its exact chain over judged answers, for given chances of each outcome.

Used to say what is expected; nothing here judges anybody.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.network import TestSteps

#: Beyond so many audits nobody waits for a conviction.
AUDITS_MAX = 20_000
#: The chain is followed until so little of the chance is left.
REST = 1e-6


@dataclass(frozen=True, slots=True)
class Chances:
    """Of one audit: that it counts as a dissent, and that it counts as an agreement. The rest counts for nothing."""

    dissent: float
    agreement: float

    def __post_init__(self) -> None:
        if min(self.dissent, self.agreement) < 0 or self.dissent + self.agreement > 1 + 1e-9:
            raise ValueError(f"{self.dissent:g} and {self.agreement:g} are not chances of two outcomes")


def lies_at(rate: float, lie: Chances, honest: Chances) -> Chances:
    """The chances of who lies in a share of its answers."""
    return Chances(
        rate * lie.dissent + (1 - rate) * honest.dissent, rate * lie.agreement + (1 - rate) * honest.agreement
    )


def drifts_up(steps: TestSteps, chances: Chances) -> bool:
    """Whether the test's sum grows on average, so that conviction is only a matter of time."""
    return chances.dissent * steps.up > chances.agreement * steps.down


@lru_cache(maxsize=256)
def survival(steps: TestSteps, chances: Chances, audits_max: int = AUDITS_MAX) -> NDArray[np.float64]:
    """The chance of not being convicted after 0, 1, 2, ... audits, until it is below REST or there are `audits_max`."""
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
    """Expected audits until conviction, or None if the sum does not grow, or not within AUDITS_MAX.

    The mean of a waiting time is the sum of its survival; once that falls by a constant factor the rest is geometric.
    """
    if not drifts_up(steps, chances):
        return None
    alive = survival(steps, chances)
    if alive[-1] >= REST:
        return None
    return float(alive[:-1].sum())


def audits_for(steps: TestSteps, chances: Chances, certainty: float) -> int | None:
    """Audits after which conviction has at least this chance, or None if that is not within AUDITS_MAX."""
    alive = survival(steps, chances)
    reached = np.flatnonzero(alive <= 1 - certainty)
    return int(reached[0]) if reached.size else None
