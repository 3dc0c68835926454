"""The objection: a member's own result for a dispute that was decided otherwise."""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, as_uint, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import GossipReject
from p2pverify.core.inference.compare import Measures, measures_value, read_measures
from p2pverify.core.records.envelope import Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.lots import DisputeKey, dispute_from_value
from p2pverify.core.records.payloads.vote import ASKED_MAX


@dataclass(frozen=True, slots=True)
class Objection:
    """The author computed the disputed answer, and its result is not the one that was decided.

    `certificate` is a certified cut in which the sealing of the dispute was closed. `output` and `measures` are as in a
    vote. `shown` proves that the author did the work (see `lots.shown_work`, stage OBJECTION).
    """

    dispute: DisputeKey
    certificate: bytes
    class_index: int
    output: bytes
    measures: Measures
    shown: bytes

    def encode(self) -> bytes:
        said = [self.class_index, self.output, measures_value(self.measures), self.shown]
        return encode([self.dispute.to_value(), self.certificate, *said])


@remembered(1024)
def decode_objection(payload: bytes) -> Objection:
    key, certificate, index, output, measures, shown = read_fields(payload, "objection", 6)
    return Objection(
        dispute_from_value(key),
        as_bytes(certificate, "certificate", size=32),
        as_uint(index, "class", 31),
        as_bytes(output, "output", size=32),
        read_measures(measures, ASKED_MAX),
        as_bytes(shown, "shown", size=32),
    )


def _check_objection(objection: Objection, record: Record, _rules: Rules) -> None:
    # [REJECT] The disputed slot of an objection is of an epoch before the record's.
    if objection.dispute.epoch >= record.epoch:
        raise GossipReject("objection to a slot of its own or a later epoch")


def _claim_of_objection(header: Header, payload: bytes) -> tuple[object, bytes]:
    objection = decode_objection(payload)
    return (header.kind, objection.dispute), objection.output


OBJECTION_RULE = KindRule(
    Kind.OBJECTION,
    lambda _header, payload: decode_objection(payload),
    _check_objection,
    claim=_claim_of_objection,
)
