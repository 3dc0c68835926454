"""The cheque record: a creditor puts a cheque that its debtor signed on the ledger.

Protocol page: protocol/cheque.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, as_uint, encode
from p2pverify.core.errors import GossipReject
from p2pverify.core.records.envelope import EPOCH_MAX, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.settle.cheques import ChequeStatement, read_amount, read_count


@dataclass(frozen=True, slots=True)
class Cheque:
    """The debtor owes the author `cumulative` millionths in the series until an epoch; see `ChequeStatement`."""

    debtor: bytes
    until: int
    cumulative: int
    count: int
    signature: bytes

    def encode(self) -> bytes:
        return encode([self.debtor, self.until, self.cumulative, self.count, self.signature])

    def statement(self, network: bytes, creditor: bytes) -> ChequeStatement:
        """What the debtor signed, if the author is this creditor."""
        return ChequeStatement(network, self.debtor, creditor, self.until, self.cumulative, self.count)


def decode_cheque(payload: bytes) -> Cheque:
    """Read the payload of a cheque. Raises DecodeError; the debtor's signature is not checked here."""
    debtor, until, cumulative, count, signature = read_fields(payload, "cheque", 5)
    return Cheque(
        as_bytes(debtor, "debtor", size=32),
        as_uint(until, "until", EPOCH_MAX),
        read_amount(cumulative, "cumulative"),
        read_count(count),
        as_bytes(signature, "signature", size=64),
    )


def _check(cheque: Cheque, record: Record, rules: Rules) -> None:
    # [REJECT] The debtor is another key than the author.
    if cheque.debtor == record.author:
        raise GossipReject("a peer cannot owe itself")
    # [REJECT] The debtor signed the cheque for the author.
    if not cheque.statement(rules.network_id, record.author).is_signed(cheque.signature):
        raise GossipReject("the debtor's signature does not hold")


#: A cheque costs a second check, of the debtor's signature.
CHEQUE_RULE = KindRule(Kind.CHEQUE, lambda _header, payload: decode_cheque(payload), _check, checks=lambda _size: 2)
