"""The join and the leave: an author takes part in a class of the network, and stops."""

from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import as_bytes, as_text, as_uint, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.speed import CLAIM_CHARS_MAX, check_claim
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.keys.handover import maybe_digest


@dataclass(frozen=True, slots=True)
class Join:
    """The author takes part in a class with this VRF key, and claims to run on this hardware ("": no claim).

    With its `box_key` (32 B) others seal what only it may read; None: it gets no boxes. `next_key` is the digest of the
    key that may take over from it; None: no key may.
    """

    class_index: int
    vrf_key: bytes
    hardware: str = ""
    box_key: bytes | None = None
    next_key: bytes | None = None

    def encode(self) -> bytes:
        return encode([self.class_index, self.vrf_key, self.hardware, self.box_key, self.next_key])


def decode_join(payload: bytes) -> Join:
    index, key, hardware, box_key, next_key = read_fields(payload, "join", 5)
    claim = check_claim(as_text(hardware, "hardware", CLAIM_CHARS_MAX))
    own_box = None if box_key is None else as_bytes(box_key, "box key", size=32)
    vrf_key = as_bytes(key, "VRF key", size=32)
    found = Join(as_uint(index, "class", 31), vrf_key, claim, own_box, maybe_digest(next_key))
    if not sign.is_valid_key(found.vrf_key):
        raise DecodeError("the VRF key is not a valid point")
    return found


def decode_leave(payload: bytes) -> None:
    read_fields(payload, "leave", 0)


def _check_join(_join: Join, _record: Record, _rules: Rules) -> None:
    """Nothing to check: an amendment can append classes, so the cut decides whether there is the class."""


def _check_leave(_leave: None, _record: Record, _rules: Rules) -> None:
    """Nothing to check: a leave has no content."""


#: A join costs a second check, of its VRF key's point.
JOIN_RULE = KindRule(Kind.JOIN, lambda _header, payload: decode_join(payload), _check_join, checks=lambda _size: 2)
LEAVE_RULE = KindRule(Kind.LEAVE, lambda _header, payload: decode_leave(payload), _check_leave)
