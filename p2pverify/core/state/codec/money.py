"""The forms of accounts, of what is owed by cheques, and of pledges.

What the pool has is not written: it is what all accounts together owe.
"""

from collections.abc import Mapping

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.settle.pledge import ROUND_MAX
from p2pverify.core.settle.books import (
    POOL,
    Account,
    Books,
    Claim,
    EscrowKey,
    Pledge,
    PledgeKey,
    SeriesKey,
)
from p2pverify.core.state.codec.forms import ID, INTEGER, UINT, Form, data, mapping, pair, plain, record, uint
from p2pverify.core.state.codec.lines import LINE

_ESCROW_KEY: Form[EscrowKey] = pair(UINT, data(len(POOL), 32))
_ROUND = uint(ROUND_MAX)
_SERIES: Form[SeriesKey] = pair(ID, UINT)
ACCOUNT: Form[Account] = record(
    Account,
    vested=INTEGER,
    escrow=mapping(_ESCROW_KEY, UINT, plain),
    answers=UINT,
    audits=UINT,
    votes=UINT,
    training=UINT,
    forfeited=UINT,
)
CLAIM: Form[Claim] = record(
    Claim, cumulative=uint(AMOUNT_MAX), count=UINT, settled=uint(AMOUNT_MAX), escrow=mapping(UINT, UINT, plain)
)
CLAIMS: Form[Mapping[SeriesKey, Claim]] = mapping(_SERIES, CLAIM, plain)
PLEDGE_KEY: Form[PledgeKey] = pair(LINE, ID)
PLEDGE: Form[Pledge] = record(Pledge, bounty=uint(AMOUNT_MAX), first=_ROUND, last=_ROUND)


def books_with(
    accounts: dict[bytes, Account],
    claims: dict[bytes, Mapping[SeriesKey, Claim]],
    pledges: dict[PledgeKey, Pledge],
) -> Books:
    """Books that were read. Raises DecodeError for claims that no cheque gives."""
    for series in claims.values():
        if not series or any(claim.vested < 0 for claim in series.values()):
            raise DecodeError("claims: more is settled than was owed, or none")
    known = sum(account.vested + sum(account.escrow.values()) for account in accounts.values())
    return Books(accounts, claims, pledges, -known)
