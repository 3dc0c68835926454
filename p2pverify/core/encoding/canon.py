"""Canonical CBOR: one value, one spelling.

The form is RFC 8949 section 4.2.1 (core deterministic encoding), narrowed to the needs of records: integers of
64 bits, byte strings, UTF-8 text, arrays, maps with unsigned-integer keys, booleans and null. `cbor2` writes
maps and negative numbers; for small arrays it takes several times as long as the writer here. Reading is done here,
because validity must not depend on the version of a lenient library. The strict reader needs no second pass, builds no
tagged objects, and trusts no declared length.

The record modules give the values their meaning, with the `as_` helpers below.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

import cbor2

from p2pverify.core.errors import DecodeError, LocalProtocolError

Value: TypeAlias = bool | int | bytes | str | list["Value"] | dict[int, "Value"] | None

_Key = TypeVar("_Key", bytes, str, int, tuple[str, ...], tuple[int, ...])

DEPTH_MAX = 16  # levels of nested arrays and maps, the outermost included
UINT_MAX = 2**63 - 1  # greatest value of a field, so that it fits a signed 64-bit integer everywhere
_CBOR_UINT_MAX = 2**64 - 1
_OURS: dict[int, Value] = {0xF4: False, 0xF5: True, 0xF6: None}
_SMALL = tuple(cbor2.dumps(number) for number in range(256))
_WRITTEN = {value: bytes([first]) for first, value in _OURS.items() if value is None or type(value) is bool}
_BYTES = tuple(bytes([byte]) for byte in range(256))
_OTHER = 0xFF  # stands for a first byte that is missing, or is the last byte of the data
_SHORTEST_MIN = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}  # the smallest number that needs this many bytes


def sha256(data: bytes) -> bytes:
    """SHA-256 of bytes: 32 bytes."""
    return hashlib.sha256(data).digest()


def digest(value: object) -> bytes:
    """SHA-256 of the canonical encoding of a value: 32 bytes."""
    return sha256(encode(value))


def encode(value: object) -> bytes:
    """The canonical bytes of a value; tuples are written as arrays.

    Raises LocalProtocolError for a value that `decode` would not read back: floats, integers beyond 64 bits, map
    keys that are not unsigned integers, lone surrogates, other types, more than DEPTH_MAX levels.
    """
    return _write(value, DEPTH_MAX)


def _write(value: object, depth_left: int) -> bytes:
    if type(value) is not list and type(value) is not tuple:
        return _write_other(value, depth_left)
    if depth_left == 0:
        raise LocalProtocolError("cannot encode a value that is too deep")
    length = len(value)
    parts = [_BYTES[0x80 + length] if length < 24 else _begin(0x80, length)]
    add = parts.append
    for item in value:
        kind = type(item)  # a call for each item would cost more than all the rest
        if kind is int and 0 <= item < 65536:
            add(_SMALL[item] if item < 256 else b"\x19%c%c" % (item >> 8, item & 255))
        elif kind is bytes:
            add(b"X " + item if len(item) == 32 else _begin(0x40, len(item)) + item)
        elif kind is list or kind is tuple:
            add(_write(item, depth_left - 1) if item or depth_left == 1 else b"\x80")
        elif item is None or kind is bool:
            add(_WRITTEN[item])
        else:
            add(_write_other(item, depth_left - 1))
    return b"".join(parts)


def _begin(major: int, number: int) -> bytes:
    """The first bytes of an item of a major type, shifted, with a number or length below 2^64 (RFC 8949 section 3)."""
    if number < 24:
        return _BYTES[major + number]
    if number < 256:
        return b"%c%c" % (major + 24, number)
    if number < 65536:
        return b"%c%c%c" % (major + 25, number >> 8, number & 255)
    if number < 1 << 32:
        return _BYTES[major + 26] + number.to_bytes(4, "big")
    return _BYTES[major + 27] + number.to_bytes(8, "big")


def _write_other(value: object, depth_left: int) -> bytes:
    try:
        if type(value) is str:
            data = value.encode()
            return _begin(0x60, len(data)) + data
        if type(value) is int and 0 <= value <= _CBOR_UINT_MAX:
            return _begin(0, value)
        _check_encodable(value, depth_left)
        # cbor2's canonical order is length-first. With unsigned keys this equals core deterministic order.
        return cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError:
        raise LocalProtocolError("cannot encode text that is not valid Unicode") from None


def encode_uint(number: int) -> bytes:
    """As `encode`, but fast for small numbers, which most fields hold."""
    if 0 <= number < 65536:
        return _SMALL[number] if number < 256 else b"\x19%c%c" % (number >> 8, number & 255)
    return encode(number)


def encode_bytes(data: bytes) -> bytes:
    """As `encode`, but fast for 24 to 255 bytes, such as keys and digests."""
    size = len(data)
    return b"X%c%b" % (size, data) if 24 <= size < 256 else encode(data)


@lru_cache(maxsize=4096)
def begin_array(length: int, *items: str | bytes) -> bytes:
    """The first bytes of an array of `length` < 24 items that begins with `items`; cached for frequent arrays.

    The caller appends the encodings of the other items.
    """
    return bytes([0x80 + length]) + b"".join(map(encode, items))


def _check_encodable(value: object, depth_left: int) -> None:
    kind = type(value)
    if kind is bytes or kind is str or value is None or kind is bool:
        return
    if type(value) is int:
        if not -_CBOR_UINT_MAX - 1 <= value <= _CBOR_UINT_MAX:
            raise LocalProtocolError("cannot encode an integer beyond 64 bits")
        return
    if depth_left == 0:
        raise LocalProtocolError("cannot encode a value that is too deep")
    if type(value) is list or type(value) is tuple:
        for item in value:
            inner = type(item)  # most items are plain: a call for each would cost more than all the rest
            if inner is bytes or inner is str or (inner is int and 0 <= item <= UINT_MAX):
                continue
            _check_encodable(item, depth_left - 1)
        return
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not int or not 0 <= key <= _CBOR_UINT_MAX:
                raise LocalProtocolError("cannot encode a map key that is not an unsigned integer")
            _check_encodable(item, depth_left - 1)
        return
    raise LocalProtocolError(f"cannot encode {kind.__name__}")


def decode(data: bytes, *, size_max: int, depth_max: int = DEPTH_MAX) -> Value:
    """The value whose canonical encoding is exactly `data`; arrays become lists.

    Any bytes give a value or a DecodeError with a short, stable reason, in time linear in len(data).
    `size_max` is in bytes; `depth_max` is the number of levels of nested arrays and maps.
    """
    if len(data) > size_max:
        raise DecodeError("too long")
    value, end = _read(data, 0, depth_max)
    if end != len(data):
        raise DecodeError("trailing bytes")
    return value


def _read(data: bytes, at: int, depth_left: int) -> tuple[Value, int]:
    """The item that starts at byte `at`, and the index of the byte after it."""
    try:
        first = data[at]
    except IndexError:
        raise DecodeError("truncated") from None
    at += 1
    major = first >> 5
    info = first & 31
    if major >= 6:
        return _read_simple(first), at
    if info >= 24:
        info, at = _read_argument(data, at, info)
    if major == 0:
        return info, at
    if major == 1:
        return -1 - info, at
    if major <= 3:
        return _read_string(data, at, info, is_text=major == 3)
    if depth_left == 0:
        raise DecodeError("too deep")
    return (_read_array if major == 4 else _read_map)(data, at, info, depth_left - 1)


def _read_argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    """The number after an initial byte whose low bits are `info` >= 24 (RFC 8949 section 3)."""
    if info > 27:
        raise DecodeError("indefinite length" if info == 31 else "reserved initial byte")
    size = 1 << (info - 24)
    end = at + size
    if end > len(data):
        raise DecodeError("truncated")
    number = int.from_bytes(data[at:end], "big")
    if number < _SHORTEST_MIN[size]:
        raise DecodeError("not in shortest form")
    return number, end


def _read_simple(first: int) -> Value:
    """Read false, true or null. Tags, floats and all other simple values are refused."""
    if first in _OURS:
        return _OURS[first]
    if first < 0xE0:
        raise DecodeError("tag")
    if 0xF9 <= first <= 0xFB:
        raise DecodeError("floating point")
    if first == 0xFF:
        raise DecodeError("indefinite length")
    raise DecodeError("simple value")


def _read_string(data: bytes, at: int, size: int, *, is_text: bool) -> tuple[Value, int]:
    end = at + size
    if end > len(data):
        raise DecodeError("truncated")
    if not is_text:
        return data[at:end], end
    try:
        return data[at:end].decode(), end
    except UnicodeDecodeError:
        raise DecodeError("not valid UTF-8") from None


def _read_array(data: bytes, at: int, length: int, depth_left: int) -> tuple[Value, int]:
    if length > len(data) - at:  # every item takes at least one byte
        raise DecodeError("truncated")
    items: list[Value] = []
    last = len(data) - 1
    for _ in range(length):
        # The most frequent items without a call for each: small numbers, keys, digests, and arrays of these.
        first = data[at] if at < last else _OTHER
        if first < 24:
            items.append(first)
            at += 1
            continue
        if first == 0x58:
            end = at + 2 + data[at + 1]
            if end <= last + 1 and data[at + 1] >= 24:
                items.append(data[at + 2 : end])
                at = end
                continue
        elif 0x80 <= first < 0x98 and depth_left:
            item, at = _read_array(data, at + 1, first - 0x80, depth_left - 1)
            items.append(item)
            continue
        elif first == 0x18:
            if data[at + 1] >= 24:
                items.append(data[at + 1])
                at += 2
                continue
        elif first == 0x19 and at + 1 < last and data[at + 1]:
            items.append(data[at + 1] << 8 | data[at + 2])
            at += 3
            continue
        item, at = _read(data, at, depth_left)
        items.append(item)
    return items, at


def _read_map(data: bytes, at: int, length: int, depth_left: int) -> tuple[Value, int]:
    if 2 * length > len(data) - at:
        raise DecodeError("truncated")
    entries: dict[int, Value] = {}
    last = -1
    for _ in range(length):
        if at < len(data) and data[at] >> 5 != 0:
            raise DecodeError("map key is not an unsigned integer")
        key, at = _read(data, at, 0)
        assert type(key) is int
        if key <= last:
            raise DecodeError("duplicate map key" if key == last else "map keys out of order")
        entries[key], at = _read(data, at, depth_left)
        last = key
    return entries, at


def as_uint(value: Value, name: str, maximum: int = UINT_MAX) -> int:
    """An integer from 0 to `maximum`, or DecodeError naming the field."""
    if type(value) is not int or value < 0:
        raise DecodeError(f"{name}: not an unsigned integer")
    if value > maximum:
        raise DecodeError(f"{name}: above {maximum}")
    return value


def as_bytes(value: Value, name: str, *, size: int | None = None, size_max: int | None = None) -> bytes:
    """A byte string of exactly `size` or at most `size_max` bytes, or DecodeError naming the field."""
    if type(value) is not bytes:
        raise DecodeError(f"{name}: not a byte string")
    if size is not None and len(value) != size:
        raise DecodeError(f"{name}: not {size} bytes")
    if size_max is not None and len(value) > size_max:
        raise DecodeError(f"{name}: longer than {size_max} bytes")
    return value


def as_text(value: Value, name: str, size_max: int) -> str:
    """Text of at most `size_max` bytes of UTF-8, or DecodeError naming the field."""
    if type(value) is not str:
        raise DecodeError(f"{name}: not text")
    if len(value) > size_max or len(value.encode()) > size_max:
        raise DecodeError(f"{name}: longer than {size_max} bytes")
    return value


def as_bool(value: Value, name: str) -> bool:
    """True or false, or DecodeError naming the field."""
    if type(value) is not bool:
        raise DecodeError(f"{name}: not a boolean")
    return value


def as_array(value: Value, name: str, *, length: int | None = None, length_max: int | None = None) -> list[Value]:
    """An array of exactly `length` or at most `length_max` items, or DecodeError naming the field."""
    if type(value) is not list:
        raise DecodeError(f"{name}: not an array")
    if length is not None and len(value) != length:
        raise DecodeError(f"{name}: not {length} items")
    if length_max is not None and len(value) > length_max:
        raise DecodeError(f"{name}: more than {length_max} items")
    return value


def check_sorted(keys: Sequence[_Key], name: str) -> None:
    """Raise DecodeError, naming the items, unless each key is greater than the one before."""
    if list(keys) != sorted(set(keys)):
        raise DecodeError(f"{name} are not sorted and distinct")


TOKEN_MAX = 2**31 - 1


def read_tokens(value: Value, name: str, length_max: int) -> tuple[int, ...]:
    """Read decoded token ids. Raises DecodeError."""
    return tuple(as_uint(token, "token", TOKEN_MAX) for token in as_array(value, name, length_max=length_max))
