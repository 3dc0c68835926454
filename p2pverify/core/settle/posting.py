"""Postings: the primitive changes of books. Each leaves the sum over all accounts as it was."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.encoding.canon import UINT_MAX
from p2pverify.core.settle.books import (
    POOL,
    Account,
    Books,
    Cause,
    Claim,
    MoneyPart,
    Movement,
    MoveReason,
    Recorder,
    SeriesKey,
)

K = TypeVar("K")

#: The sums of an account.
_SUMS = ("answers", "audits", "votes", "training", "forfeited")

#: Escrow vests at multiples of a fraction of `vest_epochs`, so that a source has few entries in an account.
VEST_STEPS = 4
#: Entries of escrow in an account, beyond which pay of further sponsors vests at once.
ESCROW_MAX = 64


def vest_epoch(tariff: Tariff, epoch: int) -> int:
    """The epoch at which pay of an epoch vests: at least `vest_epochs` later, on a multiple of a quarter of these."""
    step = max(1, tariff.vest_epochs // VEST_STEPS)
    return -(-(epoch + tariff.vest_epochs) // step) * step


class Posting:
    """Changes books. `note` gets each movement, if it is given."""

    def __init__(self, books: Books, tariff: Tariff, note: Recorder | None = None) -> None:
        self.books = books
        self.tariff = tariff
        self._note = note

    @property
    def is_recorded(self) -> bool:
        return self._note is not None

    def note(self, key: bytes, part: MoneyPart, amount: int, reason: MoveReason, cause: Cause = None) -> None:
        """Tell the recorder of a movement."""
        if self._note is not None and amount:
            self._note(Movement(key, part, amount, reason, cause))

    def pool(self, amount: int, reason: MoveReason, cause: Cause = None) -> None:
        """Change what the pool has."""
        self.books.pool += amount
        self.note(POOL, MoneyPart.VESTED, amount, reason, cause)

    def vested(self, key: bytes, amount: int, reason: MoveReason, cause: Cause = None) -> None:
        """Change what a key has vested."""
        account = self.books.account(key)
        self.books.accounts[key] = replace(account, vested=account.vested + amount)
        self.note(key, MoneyPart.VESTED, amount, reason, cause)

    def hold(self, key: bytes, source: bytes, amount: int, epoch: int, **paid: int) -> MoneyPart:
        """Put pay from a source into a key's escrow, and add `paid` to its sums. The caller notes the movements.

        Pay of a sponsor for which there is no room in escrow vests at once. Returns the part that grew.
        """
        account = self.books.account(key)
        entry, escrow, vested = (vest_epoch(self.tariff, epoch), source), account.escrow, account.vested
        is_full = source != POOL and entry not in escrow and len(escrow) >= ESCROW_MAX
        if is_full:
            vested += amount
        elif amount:
            escrow = {**escrow, entry: escrow.get(entry, 0) + amount}
        sums = {name: min(UINT_MAX, getattr(account, name) + more) for name, more in paid.items()}
        self.books.accounts[key] = replace(account, vested=vested, escrow=escrow, **sums)
        return MoneyPart.VESTED if is_full else MoneyPart.ESCROW

    def back(self, source: bytes, amount: int, reason: MoveReason, cause: Cause = None) -> None:
        """Give money back to its source: to the sponsor, or to the pool if it is the pool's or the sponsor is gone."""
        if source in self.books.accounts:
            self.vested(source, amount, reason, cause)
        else:
            self.pool(amount, reason, cause)

    def vest(self, epoch: int) -> None:
        """Make spendable what vests at an epoch or before."""
        for key, account in sorted(self.books.accounts.items()):
            due = [entry for entry in account.escrow if entry[0] <= epoch]
            if due:
                amount = sum(account.escrow[entry] for entry in due)
                left = {entry: held for entry, held in account.escrow.items() if entry[0] > epoch}
                self.books.accounts[key] = replace(account, vested=account.vested + amount, escrow=left)
                self.note(key, MoneyPart.ESCROW, -amount, MoveReason.VEST)
                self.note(key, MoneyPart.VESTED, amount, MoveReason.VEST)
        for creditor, series in sorted(self.books.claims.items()):
            for series_key, claim in series.items():
                later = {at: held for at, held in claim.escrow.items() if at > epoch}
                if len(later) < len(claim.escrow):
                    amount = sum(claim.escrow.values()) - sum(later.values())
                    self.books.put_claim(creditor, series_key, replace(claim, escrow=later))
                    self.note(creditor, MoneyPart.ESCROW, -amount, MoveReason.VEST)
                    self.note(creditor, MoneyPart.CLAIMS, amount, MoveReason.VEST)

    def forfeit(self, key: bytes, most: int | None, reason: MoveReason, cause: Cause = None) -> None:
        """Send escrow back to where it came from: up to an amount (None: all), what vests first goes first.

        Of what vests at one epoch, the pool's goes first, then by source, and for one source cheque money last.
        """
        held = [(at, source, -1, amount) for (at, source), amount in self.books.account(key).escrow.items()]
        for (debtor, until), claim in self.books.claims.get(key, {}).items():
            held += [(at, debtor, until, amount) for at, amount in claim.escrow.items()]
        left = sum(amount for *_, amount in held) if most is None else most
        for at, source, until, there in sorted(held):
            amount = min(left, there)
            if not amount:
                break
            left -= amount
            if until < 0:
                self._take(key, (at, source), amount)
                self.back(source, amount, reason, cause)
            else:
                self._refund(key, (source, until), at, amount)
                self.note(source, MoneyPart.CLAIMS, amount, reason, cause)
            self.note(key, MoneyPart.ESCROW, -amount, reason, cause)
            account = self.books.account(key)
            self.books.accounts[key] = replace(account, forfeited=min(UINT_MAX, account.forfeited + amount))

    def _take(self, key: bytes, entry: tuple[int, bytes], amount: int) -> None:
        account = self.books.account(key)
        self.books.accounts[key] = replace(account, escrow=_less(account.escrow, entry, amount))

    def _refund(self, creditor: bytes, key: SeriesKey, at: int, amount: int) -> None:
        claim = self.books.claims[creditor][key]
        left = _less(claim.escrow, at, amount)
        self.books.put_claim(creditor, key, replace(claim, settled=claim.settled + amount, escrow=left))

    def credit(
        self, creditor: bytes, key: SeriesKey, cumulative: int, count: int, epoch: int, cause: Cause = None
    ) -> None:
        """Count a cheque that is greater than those before it. What is new goes into escrow."""
        known = self.books.claims.get(creditor, {}).get(key, Claim(0, 0))
        more, at = cumulative - known.cumulative, vest_epoch(self.tariff, epoch)
        escrow = {**known.escrow, at: known.escrow.get(at, 0) + more}
        self.books.put_claim(creditor, key, replace(known, cumulative=cumulative, count=count, escrow=escrow))
        self.note(creditor, MoneyPart.ESCROW, more, MoveReason.CHEQUE, cause)
        self.note(key[0], MoneyPart.CLAIMS, -more, MoveReason.CHEQUE, cause)

    def pay(self, creditor: bytes, debtor: bytes, amount: int, cause: Cause = None) -> None:
        """Count a payment outside: first for cheques, the oldest series first, and then for what both have vested."""
        left = amount
        for key in self.books.series(creditor, debtor):
            claim = self.books.claims[creditor][key]
            part = min(left, claim.vested)
            if part:
                left -= part
                self.books.put_claim(creditor, key, replace(claim, settled=claim.settled + part))
                self.note(creditor, MoneyPart.CLAIMS, -part, MoveReason.PAYMENT, cause)
                self.note(debtor, MoneyPart.CLAIMS, part, MoveReason.PAYMENT, cause)
        if left:
            self.vested(creditor, -left, MoveReason.PAYMENT, cause)
            self.vested(debtor, left, MoveReason.PAYMENT, cause)

    def hand_over(self, old: bytes, new: bytes) -> None:
        """Give a new key what an old one has: its account, what debtors owe it, and its pledges with their escrow.

        What the old key owes by cheques stays with it, because they name the key that signed them.
        """
        books = self.books
        if old in books.accounts:
            had, got = books.accounts.pop(old), books.account(new)
            escrow = dict(got.escrow)
            for entry, amount in had.escrow.items():
                escrow[entry] = escrow.get(entry, 0) + amount
            sums = {name: min(UINT_MAX, getattr(had, name) + getattr(got, name)) for name in _SUMS}
            books.accounts[new] = Account(had.vested + got.vested, escrow, **sums)
            self._note_move(old, new, MoneyPart.VESTED, had.vested)
            self._note_move(old, new, MoneyPart.ESCROW, sum(had.escrow.values()))
        for (debtor, until), claim in books.claims.pop(old, {}).items():
            held = sum(claim.escrow.values())
            books.put_claim(new, (debtor, until), claim)
            self._note_move(old, new, MoneyPart.ESCROW, held)
            self._note_move(old, new, MoneyPart.CLAIMS, claim.owed - held)
        for line, sponsor in [key for key in books.pledges if key[1] == old]:
            books.pledges[line, new] = books.pledges.pop((line, sponsor))
        for key, account in list(books.accounts.items()):
            if any(source == old for _, source in account.escrow):
                escrow = {}
                for (at, source), amount in account.escrow.items():
                    entry = (at, new if source == old else source)
                    escrow[entry] = escrow.get(entry, 0) + amount
                books.accounts[key] = replace(account, escrow=escrow)

    def _note_move(self, old: bytes, new: bytes, part: MoneyPart, amount: int) -> None:
        self.note(old, part, -amount, MoveReason.HANDOVER)
        self.note(new, part, amount, MoveReason.HANDOVER)

    def write_off(self, key: bytes) -> None:
        """Close the account of a key that the network forgets: escrow goes to its source, the rest to the pool."""
        account: Account = self.books.accounts.pop(key)
        for (_, source), amount in sorted(account.escrow.items()):
            self.note(key, MoneyPart.ESCROW, -amount, MoveReason.WRITTEN_OFF)
            self.back(source, amount, MoveReason.WRITTEN_OFF)
        self.note(key, MoneyPart.VESTED, -account.vested, MoveReason.WRITTEN_OFF)
        self.pool(account.vested, MoveReason.WRITTEN_OFF)

    def drop_claim(self, creditor: bytes, key: SeriesKey) -> None:
        """Forget a series of cheques, with what is still owed by it."""
        claim = self.books.claims[creditor][key]
        self.books.put_claim(creditor, key, None)
        self.note(creditor, MoneyPart.ESCROW, claim.vested - claim.owed, MoveReason.WRITTEN_OFF)
        self.note(creditor, MoneyPart.CLAIMS, -claim.vested, MoveReason.WRITTEN_OFF)
        self.note(key[0], MoneyPart.CLAIMS, claim.owed, MoveReason.WRITTEN_OFF)


def _less(held: Mapping[K, int], entry: K, amount: int) -> dict[K, int]:
    """Amounts with less in one entry, which goes if nothing is left in it."""
    left = {**held, entry: held[entry] - amount}
    if not left[entry]:
        del left[entry]
    return left
