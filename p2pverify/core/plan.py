"""What checking costs, and what it catches: the plan of a client that compares some of its answers.

A client sends N requests at a fee f. It splits them into windows of z requests. One request of each whole window, at a
secret random place, goes to n peers instead of one, and their answers are compared. A peer that lies in a request with
probability r, and cannot tell the compared ones, is caught by its first compared lie. Money is counted in millionths of
its unit, and rates in parts per million. Protocol page: protocol/plan.md.
"""

from dataclasses import dataclass
from fractions import Fraction

MILLION = 1_000_000
FEE_MAX = 10**12
PLAN_REQUESTS_MAX = 100_000
PANEL_MAX = 31


class CheckPlanError(ValueError):
    """The numbers make no plan; the message says which one does not."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """`requests` of a client at a `fee` (millionths), one in `every` of them compared among `panel` peers."""

    requests: int
    fee: int
    panel: int
    every: int

    def __post_init__(self) -> None:
        """Raises CheckPlanError for a number outside of its range."""
        for name, value, low, high in (
            ("requests", self.requests, 1, PLAN_REQUESTS_MAX),
            ("fee", self.fee, 0, FEE_MAX),
            ("panel", self.panel, 1, PANEL_MAX),
            ("every", self.every, 1, PLAN_REQUESTS_MAX),
        ):
            if not low <= value <= high:
                raise CheckPlanError(f"{name} is not from {low} to {high}")

    @property
    def checks(self) -> int:
        """The number of compared requests: one in each whole window. A panel of one compares nothing."""
        return self.requests // self.every if self.panel > 1 else 0

    @property
    def cost(self) -> int:
        """C = f ((n - 1) floor(N / z) + N), in millionths."""
        return self.fee * ((self.panel - 1) * self.checks + self.requests)

    @property
    def escrow(self) -> int | None:
        """The least escrow at which no rate of lies pays, in millionths, rounded up; None if nothing is compared.

        A lie gains at most the fee, also in the request in which it is caught. Lies at any rate gain at most
        N / floor(N / z) fees for each time that they are caught. Rare lies come arbitrarily near to this bound.
        """
        return -(-self.fee * self.requests // self.checks) if self.checks else None

    def outlook(self, rate_ppm: int) -> "PlanOutlook":
        """What happens to a peer that lies at a rate in parts per million. Raises CheckPlanError."""
        if not 1 <= rate_ppm <= MILLION:
            raise CheckPlanError(f"rate is not from 1 to {MILLION} ppm")
        rate = Fraction(rate_ppm, MILLION)
        survives = (1 - rate) ** self.checks
        passed = (self.every - 1) * (1 - rate / 2) * (1 - survives)
        rest = self.requests - self.checks * self.every
        passed += survives * rate * rest
        return PlanOutlook(rate_ppm, _floor((1 - survives) * MILLION), -_floor(-passed * 1000))


@dataclass(frozen=True, slots=True)
class PlanOutlook:
    """A lying peer within the requests of a plan.

    `caught_ppm` is the probability that it is caught, rounded down. `passed_milli` is the expected number of its false
    answers that are taken for true before, in thousandths, rounded up.
    """

    rate_ppm: int
    caught_ppm: int
    passed_milli: int


def _floor(number: Fraction) -> int:
    return number.numerator // number.denominator
