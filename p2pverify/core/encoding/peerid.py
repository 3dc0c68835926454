"""libp2p peer ids of Ed25519 keys, as text.

The id is the identity multihash of the protobuf-encoded key: 0x00 0x24 0x08 0x01 0x12 0x20, then the 32-byte key,
written in base58 (Bitcoin alphabet). See the libp2p peer-ids specification.
"""

from functools import lru_cache

from p2pverify.core.errors import DecodeError

_PREFIX = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_TEXT_MAX = 64
_REMEMBERED = 4096  # reports name the same peers again and again, and base58 is slow


@lru_cache(maxsize=_REMEMBERED)
def peer_id(key: bytes) -> str:
    """The peer id of a 32-byte public key."""
    data = _PREFIX + key
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = _ALPHABET[rest] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def key_of(text: str) -> bytes:
    """The public key in a peer id. Raises DecodeError for anything else."""
    if len(text) > _TEXT_MAX:
        raise DecodeError("not a peer id")
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise DecodeError("not a peer id")
        number = number * 58 + _VALUES[letter]
    body = number.to_bytes((number.bit_length() + 7) // 8, "big")
    data = bytes(len(text) - len(text.lstrip("1"))) + body
    if len(data) != 38 or not data.startswith(_PREFIX):
        raise DecodeError("not the peer id of an Ed25519 key")
    return data[6:]
