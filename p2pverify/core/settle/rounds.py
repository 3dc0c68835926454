"""The pay of a decided training round: what each sponsor pays, and to whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from p2pverify.core.contract.tariff import PERMILLE, Tariff
from p2pverify.core.settle.books import Books, Cause, MoveReason
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.split import apportion, curve_at


class Contribution(NamedTuple):
    """What one contributor brought to a round: its credit (micronats), its rows, and its lateness (cuts)."""

    author: bytes
    credit: int
    rows: int
    late: int


@dataclass(frozen=True, slots=True)
class DecidedRound:
    """A round of a line whose result was decided. `gain` is that of the round (micronats).

    The line's `gain_min` is the least gain that is paid for, and `gain_full` (at least 1) the gain of the full bounty.
    `cause` is the record that a movement is explained by; None for the cut.
    """

    line: int
    number: int
    gain: int
    gain_min: int
    gain_full: int
    contributions: Sequence[Contribution]
    cause: Cause = None


def pot(bounty: int, decided: DecidedRound) -> int:
    """How much of a bounty a round is worth: in proportion to its gain, up to the full gain."""
    if decided.gain < max(1, decided.gain_min):
        return 0
    return bounty * min(decided.gain, decided.gain_full) // decided.gain_full


def shares(amount: int, tariff: Tariff, contributions: Sequence[Contribution]) -> dict[bytes, int]:
    """Split a pot: a base by rows and timeliness, the rest by credit and timeliness.

    Only contributors with credit above 0 are paid. A part whose weights are all 0 is not paid.
    """
    paid = [each for each in contributions if each.credit > 0]
    late = {each.author: curve_at(tariff.late_curve, each.late) for each in paid}
    base = amount * tariff.base_permille // PERMILLE
    by_rows = apportion(
        base, {each.author: curve_at(tariff.rows_curve, each.rows) * late[each.author] for each in paid}
    )
    by_merit = apportion(amount - base, {each.author: each.credit * late[each.author] for each in paid})
    return {author: by_rows[author] + by_merit[author] for author in sorted(by_rows)}


def pay_round(
    posting: Posting, decided: DecidedRound, epoch: int, contributions: Sequence[Contribution] | None = None
) -> Mapping[bytes, int]:
    """Pay a round from the pledges for its line; returns what each author gets (millionths), from all sponsors.

    `contributions` are those that may be paid, if these are not all of the round. A pledge pays for a number once; it
    is over after its last one. Authors are distinct.
    """
    books = posting.books
    found: dict[bytes, int] = {}
    rows = decided.contributions if contributions is None else contributions
    for key in sorted(books.pledges):
        line, sponsor = key
        pledge = books.pledges[key]
        if line != decided.line or decided.number < pledge.first:
            continue
        if decided.number <= pledge.last:
            parts = shares(pot(pledge.bounty, decided), posting.tariff, rows)
            parts = {author: part for author, part in parts.items() if part}
            if parts:
                posting.vested(sponsor, -sum(parts.values()), MoveReason.TRAINING, decided.cause)
            for author, part in parts.items():
                grown = posting.hold(author, sponsor, part, epoch, training=part)
                posting.note(author, grown, part, MoveReason.TRAINING, decided.cause)
                found[author] = found.get(author, 0) + part
        _go_on(books, key, decided.number + 1)
    return found


def _go_on(books: Books, key: tuple[int, bytes], first: int) -> None:
    """Leave of a pledge what it is for later rounds."""
    pledge = books.pledges[key]
    if first > pledge.last:
        del books.pledges[key]
    else:
        books.pledges[key] = replace(pledge, first=first)
