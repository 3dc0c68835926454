"""The audit: a challenger's report of a slot.

An audit is published closed: it shows whether the answers differ, but not the answers. The duty record opens it.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bool, as_bytes, as_uint, decode, digest, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.inference.compare import SEALED, Measures, measures_value
from p2pverify.core.inference.question import (
    Opening,
    Receipt,
    opening_nonce,
    receipt_fields,
    receipt_from_fields,
    request_id,
)
from p2pverify.core.records.envelope import EPOCH_MAX, PAYLOAD_BYTES_MAX, Header, Kind, Record
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import ASKED_MAX

ELAPSED_MS_MAX = 2**32 - 1
#: Stands for a slot in the report of an epoch. No member owes so many slots.
REPORT_SLOT = 255
#: Stands for the nonce of a private report, whose question is known by the request's id alone.
NO_NONCE = bytes(32)
_RECEIPT_BYTES = 240  # about the bytes of an audit for each asked peer


@dataclass(frozen=True, slots=True)
class AskedPeer:
    """One asked peer of a slot: the nonce of its request, and its receipt if it answered.

    `elapsed_ms` is the time that the challenger waited for it, less the round trip; 0 without a receipt, or if it is
    not known.
    """

    responder: bytes
    nonce: bytes
    receipt: Receipt | None
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """A challenger's bundle for a slot. `anchor` is the cut from whose members the asked peers were drawn.

    `sealed` commits to the measures of the challenger's referee in a slot across classes; in a slot within a class it
    is None. `differ` says whether the answers differ, or any of them is a mismatch.
    """

    challenger: bytes
    epoch: int
    slot: int
    anchor: bytes
    question: bytes
    expiry_epoch: int
    differ: bool
    asked: tuple[AskedPeer, ...]
    sealed: bytes | None = None

    @property
    def is_across(self) -> bool:
        return self.sealed is not None

    @property
    def is_report(self) -> bool:
        """Whether this stands for a report, and not for an owed slot."""
        return self.slot == REPORT_SLOT

    @property
    def is_private(self) -> bool:
        """Whether this stands for a private report: `question` is the id of the request then."""
        return self.is_report and self.asked[0].nonce == NO_NONCE

    @property
    def parties(self) -> frozenset[bytes]:
        """The peers whose answers a dispute about this audit would judge."""
        return frozenset({self.challenger, *(a.responder for a in self.asked if a.receipt is not None)})

    @property
    def key(self) -> DisputeKey:
        return DisputeKey(self.challenger, self.epoch, self.slot)

    def encode(self) -> bytes:
        asked = [
            [a.responder, a.nonce, None if a.receipt is None else receipt_fields(a.receipt), a.elapsed_ms]
            for a in self.asked
        ]
        head = [self.epoch, self.slot, self.anchor, self.question, self.expiry_epoch, self.differ, self.sealed]
        return encode([*head, asked])

    def matches(self, receipt: Receipt, output: bytes) -> bool:
        """Whether a receipt of this audit is for an output."""
        return receipt.is_for(output)

    def opens(self, network: bytes, opening: Opening) -> bool:
        """Whether an opening gives every nonce of this audit."""
        if opening.slot != self.slot or len(opening.salts) != len(self.asked):
            return False
        return all(
            asked.nonce
            == opening_nonce(network, self.challenger, asked.responder, self.epoch, self.question, opening, which)
            for which, asked in enumerate(self.asked)
        )


@remembered(4096)
def decode_audit(payload: bytes, network: bytes, challenger: bytes) -> Audit:
    """Read an audit's payload. Raises DecodeError; receipts' signatures are not checked here."""
    top = as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), "audit", length=8)
    epoch = as_uint(top[0], "epoch", EPOCH_MAX)
    question = as_bytes(top[3], "question", size=32)
    expiry = as_uint(top[4], "expiry epoch")
    slot = as_uint(top[1], "slot", 255)
    items = as_array(top[7], "asked", length_max=ASKED_MAX)
    said = (network, challenger, question, expiry)
    asked = [_asked(item, *said, is_report=slot == REPORT_SLOT) for item in items]
    responders = [a.responder for a in asked]
    if not asked or len(set(responders)) != len(responders):
        raise DecodeError("asked peers are none or repeat")
    if challenger in responders:
        raise DecodeError("a challenger asked itself")
    nonces = {a.nonce for a in asked}
    if len(nonces) != len(asked):
        raise DecodeError("a nonce is used twice")
    return Audit(
        challenger,
        epoch,
        slot,
        as_bytes(top[2], "anchor", size=32),
        question,
        expiry,
        as_bool(top[5], "differ"),
        tuple(asked),
        None if top[6] is None else as_bytes(top[6], "sealed measures", size=32),
    )


def _asked(
    value: Value, network: bytes, challenger: bytes, question: bytes, expiry: int, *, is_report: bool
) -> AskedPeer:
    responder, nonce, receipt, elapsed = as_array(value, "asked peer", length=4)
    key = as_bytes(responder, "responder", size=32)
    salt = as_bytes(nonce, "nonce", size=32)
    elapsed_ms = as_uint(elapsed, "elapsed_ms", ELAPSED_MS_MAX)
    if receipt is None:
        if elapsed_ms:
            raise DecodeError("a time without a receipt")
        return AskedPeer(key, salt, None)
    is_private = is_report and salt == NO_NONCE
    request = question if is_private else request_id(network, challenger, key, question, salt, expiry)
    return AskedPeer(key, salt, receipt_from_fields(receipt, network, key, request), elapsed_ms)


def sealed_measures(
    network: bytes, slot: DisputeKey, question: bytes, measures: Measures, salts: tuple[bytes, ...]
) -> bytes:
    """A challenger's commitment in an audit across classes. It is useless to others, because they lack the salts."""
    return digest([SEALED, network, *slot.to_value(), question, measures_value(measures), list(salts)])


def audit_of(record: Record) -> Audit:
    """The audit in an accepted record."""
    return decode_audit(record.payload, record.header.network, record.author)


def _decode(header: Header, payload: bytes) -> Audit:
    return decode_audit(payload, header.network, header.author)


def _check(audit: Audit, record: Record, _rules: Rules) -> None:
    # [REJECT] An audit is not of a later epoch than its record.
    if audit.epoch > record.epoch:
        raise GossipReject("audit of a later epoch than its record")
    # [REJECT] Each receipt is signed by its responder over this request.
    for asked in audit.asked:
        if asked.receipt is not None and not asked.receipt.is_signed():
            raise GossipReject("a receipt's signature does not hold for this request")


AUDIT_RULE = KindRule(
    Kind.AUDIT,
    _decode,
    _check,
    claim=lambda header, payload: (_decode(header, payload).key, header.body),
    checks=lambda size: 1 + size // _RECEIPT_BYTES,
)
