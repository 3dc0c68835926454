"""The join and the leave: an author takes part in a class of the network, and stops."""

from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import as_bytes, as_text, as_uint, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.speed import CLAIM_CHARS_MAX, check_claim
from p2pverify.core.records.envelope import read_fields


@dataclass(frozen=True, slots=True)
class Join:
    """The author takes part in a class, with this VRF key, and claims to run on this hardware; "" claims none."""

    class_index: int
    vrf_key: bytes
    hardware: str = ""

    def encode(self) -> bytes:
        return encode([self.class_index, self.vrf_key, self.hardware])


def decode_join(payload: bytes) -> Join:
    index, key, hardware = read_fields(payload, "join", 3)
    claim = check_claim(as_text(hardware, "hardware", CLAIM_CHARS_MAX))
    found = Join(as_uint(index, "class", 31), as_bytes(key, "VRF key", size=32), claim)
    if not sign.is_valid_key(found.vrf_key):
        raise DecodeError("the VRF key is not a valid point")
    return found


def decode_leave(payload: bytes) -> None:
    read_fields(payload, "leave", 0)
