"""Cheques: what a debtor signs with each answer that it gets, off the ledger.

A cheque says all that its debtor ever owed the creditor in one series, so the greatest one is enough, and repeating or
losing others does no harm. A series ends with an epoch, so that books can forget it. Protocol page: protocol/cheque.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import UINT_MAX, Value, as_array, as_bytes, as_uint, encode
from p2pverify.core.errors import DecodeError

CHEQUE_DOMAIN = "p2pverify/cheque/1"
#: The greatest epoch of a record, in which a series can end.
_UNTIL_MAX = 2**40


@dataclass(frozen=True, slots=True)
class ChequeStatement:
    """The debtor owes the creditor (keys of 32 B) `cumulative` millionths in the series that ends with epoch `until`.

    `count` is the number of the cheque in its series, from 1.
    """

    network: bytes
    debtor: bytes
    creditor: bytes
    until: int
    cumulative: int
    count: int

    def encode(self) -> bytes:
        """What the debtor signs."""
        keys = [self.network, self.debtor, self.creditor]
        return encode([CHEQUE_DOMAIN, *keys, self.until, self.cumulative, self.count])

    def sign(self, seed: bytes) -> bytes:
        """The signature (64 B) of the debtor with this seed (32 B)."""
        return sign.sign(seed, self.encode())

    def is_signed(self, signature: bytes) -> bool:
        """Whether the debtor's signature holds."""
        return sign.verify(self.debtor, self.encode(), signature)


@dataclass(frozen=True, slots=True)
class SignedCheque:
    """A cheque of a known debtor to a known creditor; the fields are those of `ChequeStatement`, and its signature."""

    until: int
    cumulative: int
    count: int
    signature: bytes

    def statement(self, network: bytes, debtor: bytes, creditor: bytes) -> ChequeStatement:
        """What the debtor signed, if it is a cheque of this debtor to this creditor."""
        return ChequeStatement(network, debtor, creditor, self.until, self.cumulative, self.count)

    def to_value(self) -> list[object]:
        return [self.until, self.cumulative, self.count, self.signature]


def sign_cheque(said: ChequeStatement, seed: bytes) -> SignedCheque:
    """The statement with the signature of the debtor with this seed (32 B)."""
    return SignedCheque(said.until, said.cumulative, said.count, said.sign(seed))


def read_signed_cheque(value: Value) -> SignedCheque:
    """A decoded cheque. Raises DecodeError; its signature is not checked here."""
    until, cumulative, count, signature = as_array(value, "cheque", length=4)
    return SignedCheque(
        as_uint(until, "until", _UNTIL_MAX),
        read_amount(cumulative, "cumulative"),
        read_count(count),
        as_bytes(signature, "signature", size=64),
    )


def read_amount(value: Value, name: str = "amount") -> int:
    """An amount above 0 (millionths). Raises DecodeError."""
    amount = as_uint(value, name, AMOUNT_MAX)
    if not amount:
        raise DecodeError(f"{name}: nothing")
    return amount


def read_count(value: Value) -> int:
    """The number of a cheque in its series. Raises DecodeError."""
    count = as_uint(value, "count", UINT_MAX)
    if not count:
        raise DecodeError("count: cheques count from 1")
    return count
