"""What this peer owes another one for answers to its clients: a bill, and the cheques that cover it.

The newest cheque is on disk before it is sent. So after a crash the same cheque is sent again, and no amount is lost or
signed twice. Protocol page: protocol/cheque.md.
"""

from dataclasses import dataclass, replace

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.encoding.canon import Value, as_array, as_uint, decode, encode
from p2pverify.core.settle.cheques import ChequeStatement, SignedCheque, read_signed_cheque, sign_cheque
from p2pverify.core.settle.credit import CASH_EPOCHS, series_end

#: A member pays for the answers of an epoch this number of epochs later, when its audits of that epoch are out.
ARREARS_EPOCHS = 2
#: Epochs whose answers are kept apart; older ones are added to the next one.
DUE_KEPT = 16
BILL_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Bill:
    """What is owed to one creditor. `due` has the amounts (millionths) of epochs that no cheque covers, by epoch.

    `cheque` is the newest one that was signed. `told` is the greatest `cumulative` of its series that the creditor has
    confirmed.
    """

    due: tuple[tuple[int, int], ...] = ()
    cheque: SignedCheque | None = None
    told: int = 0

    @property
    def is_told(self) -> bool:
        """Whether the creditor has confirmed the newest cheque."""
        return self.cheque is None or self.told >= self.cheque.cumulative

    @property
    def open(self) -> int:
        """All that no cheque covers."""
        return sum(amount for _, amount in self.due)

    def owing(self, epoch: int, amount: int) -> "Bill":
        """The bill after an answer of an epoch."""
        due = dict(self.due)
        due[epoch] = due.get(epoch, 0) + amount
        while len(due) > DUE_KEPT:
            first, second = sorted(due)[:2]
            due[second] += due.pop(first)
        return replace(self, due=tuple(sorted(due.items())))

    def payable(self, until_epoch: int) -> int:
        """What is owed for the answers up to an epoch, and is on no cheque."""
        return sum(amount for epoch, amount in self.due if epoch <= until_epoch)

    def paying(self, said: ChequeStatement, seed: bytes, until_epoch: int) -> "Bill":
        """The bill with a next cheque, which covers the answers up to an epoch.

        `said` names the network, the keys, and with `until` the series that `next_series` gives; its amounts are not
        used. What does not fit into the series stays due.
        """
        known = self.cheque if self.cheque is not None and self.cheque.until == said.until else None
        before, count = (0, 0) if known is None else (known.cumulative, known.count)
        left = amount = min(self.payable(until_epoch), AMOUNT_MAX - before)
        due = []
        for epoch, owed in self.due:
            paid = min(left, owed) if epoch <= until_epoch else 0
            left -= paid
            if owed > paid:
                due.append((epoch, owed - paid))
        cheque = sign_cheque(replace(said, cumulative=before + amount, count=count + 1), seed)
        return Bill(tuple(due), cheque, 0 if known is None else self.told)

    def next_series(self, epoch: int) -> int:
        """The series of the next cheque at an epoch. An old one goes on until the creditor has its newest cheque."""
        cheque = self.cheque
        if cheque is not None and not self.is_told and cheque.until >= epoch + CASH_EPOCHS:
            return cheque.until
        return series_end(epoch)

    def heard(self, newest: SignedCheque, epoch: int) -> "Bill":
        """The bill after the creditor has shown its newest cheque of the series, which the debtor has signed.

        It can be greater than the known one, if the debtor's disk is an older copy. What the known one should have
        covered then is due again.
        """
        if self.cheque is None or self.cheque.until != newest.until:
            return self
        if newest.cumulative <= self.cheque.cumulative:
            return replace(self, told=max(self.told, newest.cumulative))
        untold = self.cheque.cumulative - self.told
        bill = self.owing(epoch, untold) if untold > 0 else self
        return replace(bill, cheque=newest, told=newest.cumulative)

    def encode(self) -> bytes:
        cheque = None if self.cheque is None else self.cheque.to_value()
        return encode([[list(each) for each in self.due], cheque, self.told])


def decode_bill(data: bytes) -> Bill:
    """Read a bill from the disk. Raises DecodeError."""
    due, cheque, told = as_array(decode(data, size_max=BILL_BYTES_MAX), "bill", length=3)
    return Bill(
        tuple(map(_read_due, as_array(due, "due", length_max=DUE_KEPT))),
        None if cheque is None else read_signed_cheque(cheque),
        as_uint(told, "told"),
    )


def _read_due(value: Value) -> tuple[int, int]:
    epoch, amount = as_array(value, "due", length=2)
    return as_uint(epoch, "epoch"), as_uint(amount, "amount")
