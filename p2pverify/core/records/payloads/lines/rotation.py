"""The rotation: the publishers of a line name those that come after them.

Protocol page: protocol/rotation.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.lines import Publishers, read_publishers
from p2pverify.core.contract.history.release import RELEASE_LINE_MAX, RELEASE_NUMBER_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import as_uint, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.lines.signatures import (
    SIGNED_CHECKS,
    Signatures,
    check_statement,
    read_signatures,
    signatures_value,
)

DOMAIN = "p2pverify/rotation/1"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The new publishers of a line. `number` counts the rotations of a line from 1."""

    line: int
    number: int
    publishers: Publishers
    signatures: Signatures

    def statement(self, network: bytes) -> bytes:
        """What the publishers sign, in the network of this id (32 B)."""
        return encode([DOMAIN, network, self.line, self.number, self.publishers.to_value()])

    def encode(self) -> bytes:
        return encode([self.line, self.number, self.publishers.to_value(), signatures_value(self.signatures)])


def decode_rotation(payload: bytes) -> Rotation:
    """Read the payload of a rotation. Raises DecodeError."""
    line, number, publishers, signatures = read_fields(payload, "rotation", 4)
    found = Rotation(
        as_uint(line, "line", RELEASE_LINE_MAX),
        as_uint(number, "number", RELEASE_NUMBER_MAX),
        read_publishers(publishers),
        read_signatures(signatures),
    )
    if found.number == 0:
        raise DecodeError("number is 0: rotations are counted from 1")
    if not found.signatures:
        raise DecodeError("nobody signed the rotation")
    if not all(map(sign.is_valid_key, found.publishers.keys)):
        raise DecodeError("a publisher's key is not a valid point")
    return found


def _check(rotation: Rotation, _record: Record, rules: Rules) -> None:
    check_statement(rotation.line, rotation.statement(rules.network_id), rotation.signatures, rules)


#: The points of the new keys cost as much as signatures.
ROTATION_RULE = KindRule(
    Kind.ROTATION, lambda _header, payload: decode_rotation(payload), _check, checks=lambda _size: 2 * SIGNED_CHECKS
)
