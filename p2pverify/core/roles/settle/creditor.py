"""The creditor: counts what clients owe for answers, takes their cheques, and puts the newest ones on the ledger.

Protocol page: protocol/cheque.md.
"""

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Effects, Note, Persist, Respond
from p2pverify.core.inference.question import RequestRefused
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.settle.books import Claim
from p2pverify.core.settle.cheques import SignedCheque
from p2pverify.core.settle.credit import CASH_EPOCHS, ChequeRefused, Credit, CreditLimits, decode_tab
from p2pverify.core.settle.exchange import ChequeAnswer, ChequeArrived, StoredCredit
from p2pverify.core.state.settle.take import refuse_cheque
from p2pverify.core.state.state import State

#: Cheques are put on the ledger at epochs that are multiples of this number, at most so many at once.
CASH_EVERY = 4
CASHED_MAX = 16


class Creditor(Part):
    """Does nothing in a network without a tariff, or without a price of answers."""

    def __init__(self, context: Context, limits: CreditLimits) -> None:
        self._context = context
        tariff = context.network.tariff
        self._price = 0 if tariff is None else tariff.answer
        self._credit = Credit(
            context.network_id, context.key, self._price, limits, is_member=self._is_member, settled=self._settled
        )
        self._cashed_epoch = -1
        self._has_cheques = False
        self.counters = Counters()

    @property
    def credit(self) -> Credit:
        """The tabs of all clients, for reading only."""
        return self._credit

    def load(self, stored: StoredCredit) -> None:
        """Take a tab from the disk; a damaged one is left out and counted."""
        try:
            tab = decode_tab(stored.data)
        except DecodeError:
            self.counters.count("damaged tabs left out")
            return
        self._credit.keep(stored.peer, tab)
        self._has_cheques = self._has_cheques or bool(tab.cheques)

    # ------------------------------------------------------------ answers

    def check(self, client: bytes, now_ms: int, waiting: int = 0) -> None:
        """Raise RequestRefused if a client owes too much for another answer, beside those that wait to be made."""
        if not self._price or client == self._context.key:
            return
        why = self._credit.refusal(client, self._epoch(now_ms), waiting)
        if why is not None:
            self.counters.count(f"not answered: {why}")
            raise RequestRefused("unpaid", f"{why}: pay with a cheque, or pay this peer and have it say so")

    def gave(self, client: bytes, now_ms: int) -> tuple[StoredCredit, ...]:
        """A client gets an answer. Returns what must be on disk before the answer leaves."""
        if not self._price or client == self._context.key:
            return ()
        self._credit.gave(client, self._epoch(now_ms))
        return self._changes()

    def see(self, record: Record, now_ms: int) -> None:
        """Read an accepted record: an audit takes an answer of this peer off its challenger's tab."""
        if not self._price or record.kind != Kind.AUDIT or record.author not in self._credit.tabs:
            return
        audit, own = audit_of(record), self._context.key
        if not audit.is_report and any(each.responder == own and each.receipt is not None for each in audit.asked):
            self._credit.audited(record.author, (audit.epoch, audit.slot), self._epoch(now_ms))

    # ------------------------------------------------------------ cheques

    def receive(self, event: ChequeArrived, now_ms: int) -> Effects[None]:
        """Take a client's cheque, and answer once it is on disk."""
        cheque, epoch = event.cheque, self._epoch(now_ms)
        refused = ""
        if not self._price:
            refused = "no tariff"
        else:
            try:
                self._credit.take(event.source, cheque, epoch)
                self._has_cheques = True
            except ChequeRefused as error:
                refused = error.reason
        self.counters.count(f"cheques refused: {refused}" if refused else "cheques taken")
        changes = self._changes()
        if changes:
            yield Persist(credit=changes)
        tab = self._credit.tabs.get(event.source)
        newest = None if tab is None else tab.cheque(cheque.until)
        answer = ChequeAnswer(refused, newest, self._credit.uncovered(event.source, epoch))
        yield Respond(event.ticket, answer.encode())

    def tick(self, now_ms: int) -> Effects[None]:
        """Put the cheques on the ledger that are worth it, the greatest ones first."""
        epoch = self._epoch(now_ms)
        if not self._has_cheques or epoch // CASH_EVERY <= self._cashed_epoch // CASH_EVERY:
            return
        self._cashed_epoch = epoch
        self._credit.forget(epoch)
        changes = self._changes()
        if changes:
            yield Persist(credit=changes)
        state = self._context.fold.provisional(epoch)
        due = []
        for debtor, cheque in self._newest(epoch):
            more = cheque.cumulative - known_cheque(state, self._context.key, debtor, cheque.until)
            is_last = cheque.until <= epoch + CASH_EPOCHS + CASH_EVERY
            if more > 0 and (is_last or more >= self._credit.limits.cash * self._price):
                due.append((-more, debtor, cheque.until, cheque))
        for _, debtor, _, cheque in sorted(due)[:CASHED_MAX]:
            payload = Cheque(debtor, cheque.until, cheque.cumulative, cheque.count, cheque.signature)
            refused = refuse_cheque(state, self._context.key, payload)
            if refused is not None:
                self.counters.count(f"cheques not put on the ledger: {refused}")
                continue
            yield from self._context.write(Kind.CHEQUE, payload.encode(), now_ms)
            self.counters.count("cheques put on the ledger")
            yield Note("info", f"put a cheque of {peer_id(debtor)} for {cheque.cumulative} millionths on the ledger")

    def _newest(self, epoch: int) -> list[tuple[bytes, SignedCheque]]:
        """The cheques that can be put on the ledger, each with its debtor."""
        tabs = sorted(self._credit.tabs.items())
        found = [(debtor, each) for debtor, tab in tabs for each in tab.cheques if each.until >= epoch]
        self._has_cheques = bool(found)
        return found

    def next_wake_ms(self, now_ms: int) -> int | None:
        """The beginning of the next epoch in which cheques can be put on the ledger."""
        if not self._has_cheques:
            return None
        later = (self._epoch(now_ms) // CASH_EVERY + 1) * CASH_EVERY
        return self._context.params.epoch_start_ms(later)

    # ------------------------------------------------------------ what it reads

    def _epoch(self, now_ms: int) -> int:
        return max(0, self._context.params.epoch_at(now_ms))

    def _settled(self, debtor: bytes, until: int) -> int:
        claim = _claim(self._context.fold.latest, self._context.key, debtor, until)
        return 0 if claim is None else claim.settled

    def _is_member(self, peer: bytes) -> bool:
        member = self._context.fold.latest.members.get(peer)
        return member is not None and member.active and not member.is_convicted

    def _changes(self) -> tuple[StoredCredit, ...]:
        return tuple(
            StoredCredit("tab", client, b"" if tab is None else tab.encode()) for client, tab in self._credit.changes()
        )

    def statistics(self) -> dict[str, int]:
        return {**self.counters, "tabs": len(self._credit.tabs)}


def known_cheque(state: State, creditor: bytes, debtor: bytes, until: int) -> int:
    """The greatest `cumulative` (millionths) of a series of cheques in a state; 0 if it has none."""
    claim = _claim(state, creditor, debtor, until)
    return 0 if claim is None else claim.cumulative


def _claim(state: State, creditor: bytes, debtor: bytes, until: int) -> Claim | None:
    claims = {} if state.books is None else state.books.claims.get(creditor, {})
    return claims.get((debtor, until))
