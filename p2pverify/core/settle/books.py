"""The books of a network: accounts, what clients owe by cheques, and pledges. These are values and sums only.

Two kinds of money are kept apart, so that a key that costs nothing cannot back pay with debts that nobody pays:

| money | is owed | by |
|---|---|---|
| `vested` and `escrow` of an account | to and by all others together | keys that had weight, and contributors |
| a `Claim` | to one creditor | one debtor, which can be any key |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: The key of the pool: the source of pay for duties, to which dues go.
POOL = b""

#: Where escrow comes from, and the epoch at which it vests.
EscrowKey = tuple[int, bytes]
#: A series of cheques to one creditor: the debtor, and the last epoch in which its cheques count.
SeriesKey = tuple[bytes, int]
#: The index of the line, and the sponsor.
PledgeKey = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Account:
    """What a key has among all others (millionths). `vested` is negative for debts; `escrow` is what vests later.

    The other fields are sums of all that it was ever paid, by reason, and of all that it ever forfeited.
    """

    vested: int = 0
    escrow: Mapping[EscrowKey, int] = field(default_factory=dict)
    answers: int = 0
    audits: int = 0
    votes: int = 0
    training: int = 0
    forfeited: int = 0

    @property
    def is_even(self) -> bool:
        return not self.vested and not self.escrow


@dataclass(frozen=True, slots=True)
class Claim:
    """What one debtor owes one creditor by a series of cheques (millionths).

    `cumulative` and `count` are those of the greatest cheque. `settled` was paid outside, or went back to the debtor.
    `escrow` has the amounts that the creditor can still forfeit, by the epoch at which they vest.
    """

    cumulative: int
    count: int
    settled: int = 0
    escrow: Mapping[int, int] = field(default_factory=dict)

    @property
    def owed(self) -> int:
        return self.cumulative - self.settled

    @property
    def vested(self) -> int:
        """The part of what is owed that the creditor cannot forfeit any more."""
        return self.owed - sum(self.escrow.values())


@dataclass(frozen=True, slots=True)
class Pledge:
    """A sponsor pays up to `bounty` for each round of a line from `first` to `last`. `first` moves with each round."""

    bounty: int
    first: int
    last: int

    @property
    def reserved(self) -> int:
        """The most that the sponsor may still have to pay."""
        return self.bounty * (self.last - self.first + 1)


@dataclass(slots=True)
class Books:
    """All accounts of a network at a cut. A step changes a copy; the values in it never change.

    `pool` is what the pool has. The sum of `pool`, and of `vested` and `escrow` of all accounts, is 0.
    """

    accounts: dict[bytes, Account] = field(default_factory=dict)
    claims: dict[bytes, Mapping[SeriesKey, Claim]] = field(default_factory=dict)  # by creditor
    pledges: dict[PledgeKey, Pledge] = field(default_factory=dict)
    pool: int = 0

    def copy(self) -> "Books":
        return Books(dict(self.accounts), dict(self.claims), dict(self.pledges), self.pool)

    def account(self, key: bytes) -> Account:
        return self.accounts.get(key, _EMPTY)

    def reserved(self, sponsor: bytes) -> int:
        """The most that a sponsor may still have to pay for its pledges."""
        return sum(pledge.reserved for (_, key), pledge in self.pledges.items() if key == sponsor)

    def series(self, creditor: bytes, debtor: bytes) -> list[SeriesKey]:
        """The series of cheques of one debtor to one creditor, the oldest first."""
        return sorted(key for key in self.claims.get(creditor, {}) if key[0] == debtor)

    def put_claim(self, creditor: bytes, key: SeriesKey, claim: Claim | None) -> None:
        """Change one claim of a creditor, or forget it."""
        left = {**self.claims.get(creditor, {})}
        if claim is None:
            del left[key]
        else:
            left[key] = claim
        self.claims[creditor] = left
        if not left:
            del self.claims[creditor]

    def room(self, key: bytes, limit: int) -> int:
        """How much more a key may owe to all others together."""
        return self.account(key).vested - self.reserved(key) + limit

    def is_indebted(self, key: bytes, limit: int) -> bool:
        """Whether a key owes as much as it may. Then it neither earns nor owes for duties."""
        return self.room(key, limit) <= 0


_EMPTY = Account()


class MoneyPart(StrEnum):
    """The parts of a row of the view that hold money."""

    VESTED = "vested"
    ESCROW = "escrow"
    CLAIMS = "claims"


class MoveReason(StrEnum):
    """Why an amount moves."""

    ANSWER = "answer"
    AUDIT = "audit"
    VOTE = "vote"
    TRAINING = "training"
    DUES = "dues"
    VEST = "vest"
    DISSENT = "dissent"
    CONVICTION = "conviction"
    CHEQUE = "cheque"
    PAYMENT = "payment"
    WRITTEN_OFF = "written off"
    HANDOVER = "handover"


#: The slot of an audit (challenger, epoch, slot), the id of a record, or None for the cut itself.
Cause = tuple[bytes, int, int] | bytes | None


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of one part of a key's row, by `amount` millionths. The key of the pool is empty."""

    key: bytes
    part: MoneyPart
    amount: int
    reason: MoveReason
    cause: Cause = None


#: Gets each movement of a cut.
Recorder = Callable[[Movement], None]


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A row of the view: what a key has, and what it was paid (millionths). Together they have the sum 0.

    `claims` is what debtors owe it by cheques, without what is in escrow, minus what it owes by cheques itself.
    """

    key: bytes
    vested: int = 0
    escrow: int = 0
    answers: int = 0
    audits: int = 0
    votes: int = 0
    training: int = 0
    forfeited: int = 0
    claims: int = 0

    @property
    def total(self) -> int:
        return self.vested + self.escrow + self.claims

    def to_value(self) -> list[object]:
        paid = [self.answers, self.audits, self.votes, self.training, self.forfeited]
        return [self.key, self.vested, self.escrow, *paid, self.claims]


def account_rows(books: Books) -> tuple[AccountRow, ...]:
    """The rows of all keys that have an account or owe by cheques, sorted by key; the pool's comes first."""
    claims: dict[bytes, int] = {}
    escrow: dict[bytes, int] = {}
    for creditor, series in books.claims.items():
        for (debtor, _), claim in series.items():
            held = sum(claim.escrow.values())
            claims[creditor] = claims.get(creditor, 0) + claim.owed - held
            claims[debtor] = claims.get(debtor, 0) - claim.owed
            escrow[creditor] = escrow.get(creditor, 0) + held
    rows = [AccountRow(POOL, books.pool)]
    for key in sorted(books.accounts.keys() | claims.keys()):
        account = books.account(key)
        held = sum(account.escrow.values()) + escrow.get(key, 0)
        paid = (account.answers, account.audits, account.votes, account.training, account.forfeited)
        rows.append(AccountRow(key, account.vested, held, *paid, claims.get(key, 0)))
    return tuple(rows)


def even_balances(books: Books) -> dict[bytes, int]:
    """What each key has vested among all others, and under the pool's key what is held in escrow; the sum is 0.

    Claims are not in it: each is owed to one creditor alone.
    """
    balances = {key: account.vested for key, account in sorted(books.accounts.items()) if account.vested}
    return {POOL: -sum(balances.values()), **balances}


def vested_claims(books: Books) -> list[tuple[bytes, bytes, int]]:
    """Creditor, debtor, and what has vested of the debtor's cheques, sorted; without what is 0."""
    sums: dict[tuple[bytes, bytes], int] = {}
    for creditor, series in books.claims.items():
        for (debtor, _), claim in series.items():
            sums[creditor, debtor] = sums.get((creditor, debtor), 0) + claim.vested
    return [(creditor, debtor, owed) for (creditor, debtor), owed in sorted(sums.items()) if owed]
