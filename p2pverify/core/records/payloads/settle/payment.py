"""The payment record: a creditor says that its debtor has paid, outside of the network.

Only the creditor's word is needed, because only the creditor loses by it. Protocol page: protocol/payment.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, encode
from p2pverify.core.errors import GossipReject
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.settle.cheques import read_amount

REFERENCE_BYTES_MAX = 32


@dataclass(frozen=True, slots=True)
class Payment:
    """The author received an amount (millionths) from the debtor. The reference (up to 32 B) is for people."""

    debtor: bytes
    amount: int
    reference: bytes

    def encode(self) -> bytes:
        return encode([self.debtor, self.amount, self.reference])


def decode_payment(payload: bytes) -> Payment:
    """Read the payload of a payment. Raises DecodeError."""
    debtor, amount, reference = read_fields(payload, "payment", 3)
    return Payment(
        as_bytes(debtor, "debtor", size=32),
        read_amount(amount),
        as_bytes(reference, "reference", size_max=REFERENCE_BYTES_MAX),
    )


def _check(payment: Payment, record: Record, _rules: Rules) -> None:
    # [REJECT] The debtor is another key than the author.
    if payment.debtor == record.author:
        raise GossipReject("a peer cannot pay itself")


PAYMENT_RULE = KindRule(Kind.PAYMENT, lambda _header, payload: decode_payment(payload), _check)
