"""The payload of a conflict: two signed headers of one author that cannot both stand.

Why they cannot is judged in `rules`, what it counts for in the fold.
"""

from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, Header, header_from_value, read_fields


@dataclass(frozen=True, slots=True)
class Evidence:
    """One side of a conflict: a signed header, and its payload where the kind's meaning matters."""

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
    """Two records of one author that cannot both stand; `first` has the lower id."""

    first: Evidence
    second: Evidence

    def encode(self) -> bytes:
        return encode([self.first.to_value(), self.second.to_value()])


def decode_conflict(payload: bytes) -> Conflict:
    """Two signed headers of one author and network, in order of their ids."""
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
    if found.payload is not None and sha256(found.payload) != found.header.body:
        raise DecodeError("the payload is not the one that was signed")
    return found
