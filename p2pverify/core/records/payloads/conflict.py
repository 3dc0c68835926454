"""The payload of a conflict, which proves an equivocation: two signed headers of one author that exclude each other.

Two records with one number fork their author's log. Two claims on one slot convict the author in the fold.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, encode, sha256
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import (
    PAYLOAD_BYTES_MAX,
    Header,
    Kind,
    Record,
    body_of,
    header_from_value,
    read_fields,
)
from p2pverify.core.records.kind_rule import KindRule, Rules


@dataclass(frozen=True, slots=True)
class Evidence:
    """One side of a conflict: a signed header, and its payload if its content matters."""

    header: Header
    signature: bytes
    payload: bytes | None

    def to_value(self) -> list[object]:
        return [self.header.to_value(), self.signature, self.payload]

    @property
    def id(self) -> bytes:
        return sha256(self.header.encode())

    def is_signed(self) -> bool:
        return sign.verify(self.header.author, self.header.encode(), self.signature)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two records of one author that exclude each other; `first` has the lower id."""

    first: Evidence
    second: Evidence

    def encode(self) -> bytes:
        return encode([self.first.to_value(), self.second.to_value()])


def decode_conflict(payload: bytes) -> Conflict:
    """Read two signed headers of one author and network, sorted by id. Raises DecodeError."""
    one, two = read_fields(payload, "conflict", 2)
    found = Conflict(_evidence(one), _evidence(two))
    first, second = found.first.header, found.second.header
    if (first.network, first.author) != (second.network, second.author):
        raise DecodeError("the two sides are not of one author")
    if found.first.id >= found.second.id:
        raise DecodeError("the two sides are equal or out of order")
    return found


def _evidence(value: Value) -> Evidence:
    header, signature, payload = as_array(value, "evidence", length=3)
    found = Evidence(
        header_from_value(header),
        as_bytes(signature, "signature", size=64),
        None if payload is None else as_bytes(payload, "payload", size_max=PAYLOAD_BYTES_MAX),
    )
    if found.payload is not None and body_of(found.header.kind, found.payload) != found.header.body:
        raise DecodeError("the payload is not the one that was signed")
    return found


def conflict_rule(conflict_kind: Callable[[Evidence, Evidence], str | None]) -> KindRule:
    """The rule of conflicts. `conflict_kind` says whether two sides conflict, which depends on all other kinds."""

    def check(conflict: Conflict, _record: Record, rules: Rules) -> None:
        # [REJECT] Both sides are of this network.
        if conflict.first.header.network != rules.network_id:
            raise GossipReject("conflict of another network")
        # [REJECT] The two headers cannot both stand.
        if conflict_kind(conflict.first, conflict.second) is None:
            raise GossipReject("the two records do not conflict")
        # [REJECT] The accused signed both.
        if not (conflict.first.is_signed() and conflict.second.is_signed()):
            raise GossipReject("a side of the conflict is not signed")

    return KindRule(Kind.CONFLICT, lambda _header, payload: decode_conflict(payload), check, checks=lambda _size: 3)
