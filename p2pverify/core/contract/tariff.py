"""The tariff: what a network pays for, what a dissent costs, and when pay can be spent.

A definition without a tariff has no item for it, and its network keeps no accounts. Amounts are in millionths of the
tariff's unit. Protocol page: protocol/settle.md.
"""

from dataclasses import dataclass
from itertools import pairwise

from p2pverify.core.encoding.canon import Value, as_array, as_text, as_uint
from p2pverify.core.errors import DecodeError

UNIT_BYTES_MAX = 16
#: The greatest price of one answer, audit, vote or dissent.
PRICE_MAX = 2**32 - 1
#: The greatest limit, pledge or cheque: with thousands of accounts all sums stay below 2^63.
AMOUNT_MAX = 2**40
VEST_EPOCHS_MAX = 2**20
CURVE_POINTS_MAX = 8
CURVE_X_MAX = 2**40
PERMILLE = 1000

#: A rule as points (x, permille), which `settle.curves.at` reads.
Curve = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Tariff:
    """What is paid, in wire order. Amounts in millionths of `unit`.

    `answer` is paid for an agreement in an owed slot, `audit` for an opened owed slot, `vote` for a vote with the
    decision. `dissent` is forfeited for each dissent. Pay can be spent `vest_epochs` after it was earned. No account
    owes more than `limit` to all others together. The pay of a training round follows the curves of its rows and of its
    lateness (cuts); `base_permille` of it is for rows, the rest for merit.
    """

    unit: str
    answer: int
    audit: int
    vote: int
    dissent: int
    vest_epochs: int
    limit: int
    rows_curve: Curve
    late_curve: Curve
    base_permille: int

    def to_value(self) -> list[object]:
        prices = [self.answer, self.audit, self.vote, self.dissent, self.vest_epochs, self.limit]
        curves = [[list(point) for point in curve] for curve in (self.rows_curve, self.late_curve)]
        return [self.unit, *prices, *curves, self.base_permille]


def read_tariff(value: Value) -> Tariff:
    """A decoded tariff. Raises DecodeError."""
    unit, answer, audit, vote, dissent, vest, limit, rows, late, base = as_array(value, "tariff", length=10)
    found = Tariff(
        as_text(unit, "unit", UNIT_BYTES_MAX),
        as_uint(answer, "answer", PRICE_MAX),
        as_uint(audit, "audit", PRICE_MAX),
        as_uint(vote, "vote", PRICE_MAX),
        as_uint(dissent, "dissent", PRICE_MAX),
        as_uint(vest, "vest_epochs", VEST_EPOCHS_MAX),
        as_uint(limit, "limit", AMOUNT_MAX),
        _curve(rows, "rows_curve"),
        _curve(late, "late_curve"),
        as_uint(base, "base_permille", PERMILLE),
    )
    if not found.unit or not found.unit.isprintable():
        raise DecodeError("unit: not a printable name")
    if not found.vest_epochs or not found.limit:
        raise DecodeError("vest_epochs and limit are at least 1")
    return found


def _curve(value: Value, name: str) -> Curve:
    """Points by ascending x. Raises DecodeError."""
    points: list[tuple[int, int]] = []
    for item in as_array(value, name, length_max=CURVE_POINTS_MAX):
        x, y = as_array(item, f"{name} point", length=2)
        points.append((as_uint(x, f"{name} x", CURVE_X_MAX), as_uint(y, f"{name} permille", PERMILLE)))
    if not points:
        raise DecodeError(f"{name}: no points")
    if any(one[0] >= two[0] for one, two in pairwise(points)):
        raise DecodeError(f"{name}: not ascending")
    return tuple(points)
