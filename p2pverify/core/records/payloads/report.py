"""The report: a member says that an answer which a client of it got is not the answer of its class.

The request's nonce has sealed the epoch, and that the requester gave no answer of its own. So each request belongs to
the report of one epoch, and no owed slot can be reported. Protocol page: protocol/report.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, decode, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.inference.question import (
    NO_OUTPUT,
    Opening,
    Receipt,
    opening_nonce,
    receipt_fields,
    receipt_from_fields,
    request_id,
)
from p2pverify.core.records.envelope import EPOCH_MAX, PAYLOAD_BYTES_MAX, Header, Kind, Record
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.audit import NO_NONCE, REPORT_SLOT, AskedPeer, Audit

NO_ANCHOR = bytes(32)
#: The items of a private report.
PRIVATE_FIELDS = 4


def sealed_nonce(network: bytes, requester: bytes, responder: bytes, epoch: int, question: bytes, salt: bytes) -> bytes:
    """The nonce (32 B) of a client's request: to anybody without the salt it looks like every other nonce."""
    opening = Opening(REPORT_SLOT, None, NO_OUTPUT, (salt,))
    return opening_nonce(network, requester, responder, epoch, question, opening, 0)


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """A request of `epoch` whose answer the reporter found to be wrong, with the receipt for it.

    `nonce` follows from the `salt` that opens it. `output` is None if the reporter shows the question to the seats of
    the dispute. Otherwise no dispute opens, and `output` is the digest of the reporter's own answer.
    """

    reporter: bytes
    epoch: int
    question: bytes
    expiry_epoch: int
    responder: bytes
    nonce: bytes
    salt: bytes
    receipt: Receipt
    output: bytes | None

    @property
    def audit(self) -> Audit:
        """The report as an audit of one peer, which a dispute is about."""
        asked = AskedPeer(self.responder, self.nonce, self.receipt)
        head = (self.reporter, self.epoch, REPORT_SLOT, NO_ANCHOR, self.question, self.expiry_epoch)
        return Audit(*head, True, (asked,))

    def encode(self) -> bytes:
        head = [self.epoch, self.question, self.expiry_epoch, self.responder]
        return encode([*head, self.salt, receipt_fields(self.receipt), self.output])

    @property
    def hidden(self) -> "PrivateReport":
        """The private report of the same answer."""
        return PrivateReport(self.reporter, self.epoch, self.receipt.request, self.responder, self.receipt)


@dataclass(frozen=True, slots=True)
class PrivateReport:
    """A report that names the request alone, by its id.

    Only the seats of the dispute learn what opens it: the question, the expiry and the salt. They check that the
    request was made in `epoch`, and for a report.
    """

    reporter: bytes
    epoch: int
    request: bytes
    responder: bytes
    receipt: Receipt

    @property
    def output(self) -> None:
        """There is none: the seats compute the answer."""

    @property
    def audit(self) -> Audit:
        """The report as an audit of one peer, which a dispute is about."""
        asked = AskedPeer(self.responder, NO_NONCE, self.receipt)
        return Audit(self.reporter, self.epoch, REPORT_SLOT, NO_ANCHOR, self.request, 0, True, (asked,))

    def encode(self) -> bytes:
        return encode([self.epoch, self.request, self.responder, receipt_fields(self.receipt)])


Report = AnswerReport | PrivateReport


@remembered(1024)
def decode_report(payload: bytes, network: bytes, reporter: bytes) -> Report:
    """Read a report's payload. Raises DecodeError; the receipt's signature is not checked here."""
    top = as_array(decode(payload, size_max=PAYLOAD_BYTES_MAX, depth_max=8), "report")
    if len(top) == PRIVATE_FIELDS:
        return _private(top, network, reporter)
    epoch, question, expiry, responder, salt, receipt, output = as_array(top, "report", length=7)
    at, key = as_uint(epoch, "epoch", EPOCH_MAX), as_bytes(responder, "responder", size=32)
    asked, opened = as_bytes(question, "question", size=32), as_bytes(salt, "salt", size=32)
    until = as_uint(expiry, "expiry epoch")
    if key == reporter:
        raise DecodeError("a reporter asked itself")
    nonce = sealed_nonce(network, reporter, key, at, asked, opened)
    request = request_id(network, reporter, key, asked, nonce, until)
    return AnswerReport(
        reporter,
        at,
        asked,
        until,
        key,
        nonce,
        opened,
        receipt_from_fields(receipt, network, key, request),
        None if output is None else as_bytes(output, "output", size=32),
    )


def _private(top: list[Value], network: bytes, reporter: bytes) -> PrivateReport:
    epoch, request, responder, receipt = top
    key, asked = as_bytes(responder, "responder", size=32), as_bytes(request, "request", size=32)
    if key == reporter:
        raise DecodeError("a reporter asked itself")
    signed = receipt_from_fields(receipt, network, key, asked)
    return PrivateReport(reporter, as_uint(epoch, "epoch", EPOCH_MAX), asked, key, signed)


def report_of(record: Record) -> Report:
    """The report in an accepted record."""
    return decode_report(record.payload, record.header.network, record.author)


def _decode(header: Header, payload: bytes) -> Report:
    return decode_report(payload, header.network, header.author)


def _check(report: Report, record: Record, _rules: Rules) -> None:
    # [REJECT] The reported request is of an epoch before the record's.
    if report.epoch >= record.epoch:
        raise GossipReject("report of its own or a later epoch")
    # [REJECT] The responder signed the receipt over the request that the salt opens, or that a private report names.
    if not report.receipt.is_signed():
        raise GossipReject("a receipt's signature does not hold for the sealed request")


REPORT_RULE = KindRule(
    Kind.REPORT,
    _decode,
    _check,
    claim=lambda header, payload: ((header.kind, _decode(header, payload).epoch), header.body),
    checks=lambda _size: 2,
)
