"""The rekey: a member changes its VRF key without a leave and a join."""

from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import as_bytes, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules


@dataclass(frozen=True, slots=True)
class Rekey:
    """The author's duties are drawn with this VRF key from the anchor on that holds the record."""

    vrf_key: bytes

    def encode(self) -> bytes:
        return encode([self.vrf_key])


def decode_rekey(payload: bytes) -> Rekey:
    (key,) = read_fields(payload, "rekey", 1)
    found = Rekey(as_bytes(key, "VRF key", size=32))
    if not sign.is_valid_key(found.vrf_key):
        raise DecodeError("the VRF key is not a valid point")
    return found


def _check_rekey(_rekey: Rekey, _record: Record, _rules: Rules) -> None:
    """Nothing more to check: whether the author may change its key depends on other records."""


#: A rekey costs a second check, of its VRF key's point.
REKEY_RULE = KindRule(Kind.REKEY, lambda _header, payload: decode_rekey(payload), _check_rekey, checks=lambda _size: 2)
