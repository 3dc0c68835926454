"""Cases of plans: the numbers of the example, other numbers, and numbers that make no plan."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vectorgen.case import Case

from p2pverify.core.plan import CheckPlan, CheckPlanError

#: Requests, fee, panel, every, and rates.
VALID: tuple[tuple[str, tuple[int, int, int, int], tuple[int, ...]], ...] = (
    ("one trusted peer", (100, 10_000, 1, 10), (100_000,)),
    ("five peers every time", (100, 10_000, 5, 1), (100_000,)),
    ("five peers in one of ten", (100, 10_000, 5, 10), (1_000_000, 500_000, 200_000, 100_000, 1)),
    ("requests after the last window", (109, 10_000, 5, 10), (300_000, 10_000)),
    ("a window that is never whole", (9, 10_000, 5, 10), (300_000,)),
    ("an escrow that is rounded up", (10, 1, 2, 3), (333_333,)),
    ("a service that costs nothing", (100, 0, 3, 10), (100_000,)),
    ("the greatest numbers", (100_000, 10**12, 31, 100_000), (999_999,)),
)
INVALID: tuple[tuple[str, tuple[int, int, int, int], int], ...] = (
    ("no requests", (0, 10_000, 5, 10), 1),
    ("too many requests", (100_001, 10_000, 5, 10), 1),
    ("a negative fee", (100, -1, 5, 10), 1),
    ("a fee beyond the range", (100, 10**12 + 1, 5, 10), 1),
    ("no panel", (100, 10_000, 0, 10), 1),
    ("a panel beyond the range", (100, 10_000, 32, 10), 1),
    ("windows of nothing", (100, 10_000, 5, 0), 1),
    ("a peer that never lies", (100, 10_000, 5, 10), 0),
    ("a rate above 1", (100, 10_000, 5, 10), 1_000_001),
)


def _case(comment: str, numbers: tuple[int, int, int, int], rates: tuple[int, ...]) -> Case:
    named: dict[str, Any] = dict(zip(("requests", "fee", "panel", "every"), numbers, strict=True))
    expect: dict[str, Any] | None = None
    reason = None
    try:
        plan = CheckPlan(*numbers)
        expect = {
            "checks": plan.checks,
            "cost": plan.cost,
            "escrow": plan.escrow,
            "outlooks": [asdict(plan.outlook(rate)) for rate in rates],
        }
    except CheckPlanError as error:
        reason = str(error)
    return {"comment": comment, "input": {**named, "rates_ppm": list(rates)}, "expect": expect, "reason": reason}


def cases() -> dict[Path, list[Case]]:
    return {Path("plan"): [_case(*each) for each in VALID] + [_case(c, n, (rate,)) for c, n, rate in INVALID]}
