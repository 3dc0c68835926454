"""Rules of arithmetic: curves, shares that sum exactly, and the transfers that make balances even."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


def curve_at(points: Sequence[tuple[int, int]], x: int) -> int:
    """A piecewise linear rule at x. Points (x, y) are in ascending order of x; it is flat outside of them.

    Between two points the change of y is rounded towards minus infinity.
    """
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) // (x1 - x0)
    return points[-1][1]


def apportion(total: int, weights: Mapping[bytes, int]) -> dict[bytes, int]:
    """Split an amount in proportion to weights (both at least 0), by the largest remainder; ties go to the lesser key.

    The parts sum to `total`. If all weights are 0, all parts are 0.
    """
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(sorted(weights), 0)
    shares = {key: divmod(total * weights[key], whole) for key in sorted(weights)}
    left = total - sum(part for part, _ in shares.values())
    more = set(sorted(shares, key=lambda key: (-shares[key][1], key))[:left])
    return {key: part + (key in more) for key, (part, _) in shares.items()}


@dataclass(frozen=True, slots=True)
class Transfer:
    """One payment of a settlement outside: `debtor` pays `creditor`."""

    debtor: bytes
    creditor: bytes
    amount: int


def netting(balances: Mapping[bytes, int]) -> tuple[Transfer, ...]:
    """Transfers after which all balances are 0: at most one less than there are balances. Their sum must be 0.

    Debts and claims come in falling order, equal ones by key. Each transfer is the lesser of the first debt and the
    first claim that are left. Raises ValueError for another sum.
    """
    if sum(balances.values()):
        raise ValueError("balances that do not sum to 0 cannot be made even")
    debts = sorted((balance, key) for key, balance in balances.items() if balance < 0)
    claims = sorted((-balance, key) for key, balance in balances.items() if balance > 0)
    found: list[Transfer] = []
    at, claimed = 0, 0  # the claim that is paid next, and how much of it was paid
    for debt, debtor in debts:
        left = -debt
        while left:
            claim, creditor = claims[at]
            amount = min(left, -claim - claimed)
            found.append(Transfer(debtor, creditor, amount))
            left -= amount
            claimed += amount
            if claimed == -claim:
                at, claimed = at + 1, 0
    return tuple(found)
