"""Which pledges, cheques and payments the books take, and what they forget.

A key costs nothing, so books must not grow with keys: only members with weight have pledges and claims, a creditor has
a bounded number of series of cheques, and what a debtor owes is written with its creditor.
"""

from collections.abc import Container
from dataclasses import replace

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.settle.books import Books, Claim, Pledge, PledgeKey, SeriesKey
from p2pverify.core.settle.posting import Posting

#: Pledges for one line.
PLEDGES_MAX = 8
#: Series of cheques of one creditor, until they are paid and over.
SERIES_MAX = 64
#: A series of cheques ends at most this many epochs after the cut that counts a cheque of it.
SERIES_EPOCHS_MAX = 2**20


def refuse_offer(books: Books, tariff: Tariff, key: PledgeKey, pledge: Pledge) -> str | None:
    """Why the books do not take a pledge of a member with weight, or None."""
    line, sponsor = key
    if key in books.pledges:
        return "author has one for the line"
    if sum(one == line for one, _ in books.pledges) >= PLEDGES_MAX:
        return "line has too many"
    return "more than author may owe" if pledge.reserved > books.room(sponsor, tariff.limit) else None


def refuse_credit(books: Books, epoch: int, creditor: bytes, series: SeriesKey, credit: Claim) -> str | None:
    """Why the books do not take a cheque for a member with weight at an epoch, or None."""
    if series[1] < epoch:
        return "its series is over"
    if series[1] > epoch + SERIES_EPOCHS_MAX:
        return "its series ends too late"
    claims = books.claims.get(creditor, {})
    known = claims.get(series)
    if known is None:
        return "author has too many series" if len(claims) >= SERIES_MAX else None
    is_greater = credit.cumulative > known.cumulative and credit.count > known.count
    return None if is_greater else "a greater one is known"


def owed(books: Books, tariff: Tariff, creditor: bytes, debtor: bytes) -> int:
    """The most that a payment of a debtor to a creditor can say (millionths).

    Cheques are owed to the creditor alone. All else is owed to all together: a payment moves what both have vested
    towards 0, and leaves the creditor what it pledged.
    """
    claims = books.claims.get(creditor, {})
    by_cheques = sum(claims[key].vested for key in books.series(creditor, debtor))
    spendable = min(books.account(creditor).vested, books.room(creditor, tariff.limit))
    return by_cheques + max(0, min(spendable, -books.account(debtor).vested))


def forget(
    posting: Posting, epoch: int, rows: Container[bytes], had_weight: Container[bytes], convicted: Container[bytes]
) -> None:
    """Drop what belongs to keys without a row, series that are over and paid, and accounts in which nothing is left.

    Of the latter, those of keys that `had_weight` stay, for their sums. So books grow with rows of weight.
    """
    books = posting.books
    for pledge in [each for each in books.pledges if each[1] not in rows or each[1] in convicted]:
        del books.pledges[pledge]
    for creditor, claims in sorted(books.claims.items()):
        is_gone = creditor not in rows
        for series in [each for each, one in claims.items() if is_gone or (not one.owed and epoch > each[1])]:
            posting.drop_claim(creditor, series)
    for gone in sorted(key for key in books.accounts if key not in rows):
        posting.write_off(gone)
    for key, account in list(books.accounts.items()):
        if account.is_even and key not in had_weight:
            del books.accounts[key]


def carried(books: Books | None) -> Books | None:
    """The books with which a network begins that goes on from a cut of another one: without pledges."""
    return None if books is None else replace(books.copy(), pledges={})
