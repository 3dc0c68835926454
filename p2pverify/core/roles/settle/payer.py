"""The payer: notes what answers to this node's clients cost, and pays the peers that gave them with cheques.

A challenger's own requests cost nothing here, because the pool pays for owed answers. A creditor must not learn from a
payment which of the requests of the present are owed. So a member pays for the answers of an epoch two epochs later,
when its audits of that epoch are out, once an epoch at a secret time. Protocol page: protocol/cheque.md.
"""

from functools import partial

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import AskFailed, Effects, Persist, ResponseArrived
from p2pverify.core.roles.context import Context, Part
from p2pverify.core.settle.bills import ARREARS_EPOCHS, Bill, decode_bill
from p2pverify.core.settle.cheques import ChequeStatement, SignedCheque
from p2pverify.core.settle.exchange import AnswerTaken, StoredCredit, decode_cheque_answer, encode_cheque

#: Creditors with a bill. Beyond it the oldest bill goes by which nothing is due.
BILLS_KEPT = 4096


class Payer(Part):
    """Does nothing in a network without a tariff, or without a price of answers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        tariff = context.network.tariff
        self._price = 0 if tariff is None else tariff.answer
        self._bills: dict[bytes, Bill] = {}
        self._sending: set[bytes] = set()
        self._tried: dict[bytes, int] = {}  # the last epoch in which a cheque was sent, by creditor
        self.counters = Counters()

    @property
    def bills(self) -> dict[bytes, Bill]:
        """What is owed to each creditor, for reading only."""
        return self._bills

    def load(self, stored: StoredCredit) -> None:
        """Take a bill from the disk; a damaged one is left out and counted."""
        try:
            self._bills[stored.peer] = decode_bill(stored.data)
        except DecodeError:
            self.counters.count("damaged bills left out")

    def owe(self, order: AnswerTaken, now_ms: int) -> Effects[None]:
        """A client took an answer of a peer."""
        peer = order.peer
        if not self._price or peer == self._context.key:
            return
        dropped: tuple[StoredCredit, ...] = ()
        if peer not in self._bills and len(self._bills) >= BILLS_KEPT:
            gone = next((each for each, bill in self._bills.items() if not bill.due and bill.is_told), None)
            if gone is None:
                self.counters.count("answers not noted: too many creditors")
                return
            del self._bills[gone]
            self._tried.pop(gone, None)
            dropped = (StoredCredit("bill", gone, b""),)
        self._bills[peer] = self._bills.get(peer, Bill()).owing(self._epoch(now_ms), self._price)
        self.counters.count("answers to pay")
        yield Persist(credit=(*dropped, self._stored(peer)))

    def tick(self, now_ms: int) -> Effects[None]:
        """Pay the creditors whose time has come."""
        epoch = self._epoch(now_ms)
        for peer in sorted(self._bills):
            if self._is_due(peer, epoch) and now_ms >= self._moment_ms(peer, epoch):
                yield from self._pay(peer, epoch, now_ms)

    def next_wake_ms(self, now_ms: int) -> int | None:
        """The next moment at which a creditor is paid."""
        epoch = self._epoch(now_ms)
        times = []
        for peer, bill in self._bills.items():
            if bill.due or not bill.is_told:
                at = (
                    epoch
                    if self._is_due(peer, epoch)
                    else max(epoch + 1, min(bill.due, default=(0,))[0] + ARREARS_EPOCHS)
                )
                times.append(self._moment_ms(peer, at))
        return min(times, default=None)

    def _is_due(self, peer: bytes, epoch: int) -> bool:
        bill = self._bills[peer]
        if peer in self._sending or self._tried.get(peer, -1) >= epoch:
            return False
        return not bill.is_told or bill.payable(epoch - ARREARS_EPOCHS) > 0

    def _pay(self, peer: bytes, epoch: int, now_ms: int) -> Effects[None]:
        """Sign the next cheque if the creditor has the last one, store it, and only then send it."""
        context, bill = self._context, self._bills[peer]
        self._tried[peer] = epoch
        if self._is_convicted(peer):
            self._bills.pop(peer)
            self.counters.count("bills of convicted peers dropped")
            yield Persist(credit=(StoredCredit("bill", peer, b""),))
            return
        until = epoch - ARREARS_EPOCHS
        if bill.payable(until) > 0:
            series = bill.next_series(epoch)
            said = ChequeStatement(context.network_id, context.key, peer, series, 0, 0)
            bill = self._bills[peer] = bill.paying(said, context.seed, until)
            yield Persist(credit=(self._stored(peer),))
        assert bill.cheque is not None
        self._sending.add(peer)
        deadline_ms = now_ms + context.params.epoch_ms
        yield from context.pay(peer, encode_cheque(bill.cheque), deadline_ms, partial(self._answered, peer))

    def _answered(self, peer: bytes, event: ResponseArrived | AskFailed, now_ms: int) -> Effects[None]:
        self._sending.discard(peer)
        bill = self._bills.get(peer)
        if bill is None:
            return
        if isinstance(event, AskFailed):
            self.counters.count(f"cheques not sent: {event.reason}")
            return
        try:
            answer = decode_cheque_answer(event.data)
        except DecodeError:
            self.counters.count("cheques not sent: malformed answer")
            return
        self.counters.count(f"cheques refused: {answer.refused}" if answer.refused else "cheques sent")
        if answer.newest is not None and self._is_own(answer.newest, peer):
            self._bills[peer] = bill.heard(answer.newest, self._epoch(now_ms))
            yield Persist(credit=(self._stored(peer),))

    def _is_own(self, cheque: SignedCheque, peer: bytes) -> bool:
        context = self._context
        return cheque.statement(context.network_id, context.key, peer).is_signed(cheque.signature)

    def _is_convicted(self, peer: bytes) -> bool:
        return peer in self._context.fold.latest.convicted

    def _moment_ms(self, peer: bytes, epoch: int) -> int:
        """When a creditor is paid in an epoch: a secret time of it."""
        params = self._context.params
        drawn = int.from_bytes(self._context.secret("pay", peer, epoch)[:8], "big")
        return params.epoch_start_ms(epoch) + drawn % params.epoch_ms

    def _stored(self, peer: bytes) -> StoredCredit:
        return StoredCredit("bill", peer, self._bills[peer].encode())

    def _epoch(self, now_ms: int) -> int:
        return max(0, self._context.params.epoch_at(now_ms))

    def statistics(self) -> dict[str, int]:
        return {**self.counters, "bills": len(self._bills)}
