"""The positions of a record's parts in its bytes, so that nearly every record is split without reading each item.

Bytes that do not look like a record here are left to the strict reader of `canon`, which reports their fault. Other
modules interpret the parts.
"""

#: The fields of a header after its domain string, in wire order.
HeaderFields = tuple[bytes, bytes, int, int, bytes, int, bytes]
#: The header of a record, its signature, and its payload.
RecordParts = tuple[HeaderFields, bytes, bytes]

BYTES_32 = b"X "  # the first bytes of a byte string of 32 bytes, and of 64
_BYTES_64 = b"X@"
#: The first bytes of a record, and the positions of its author and of its numbers.
START = bytes.fromhex("83886b") + b"p2pverify/1" + BYTES_32
_NETWORK = len(START)
AUTHOR = _NETWORK + 32 + 2
NUMBERS = AUTHOR + 32
_SIGNATURE_ENCODED = 66  # 64 bytes, after a first byte and their length


def header_bytes(data: bytes, payload: bytes) -> bytes:
    """The canonical header in the canonical bytes of a record.

    It lies between the array's first byte and the signature; the payload comes last.
    """
    return data[1 : len(data) - len(payload) - len(_bytes_head(len(payload))) - _SIGNATURE_ENCODED]


def split_record(data: bytes) -> RecordParts | None:
    """Header, signature and payload of a record's canonical bytes. None means: use the strict reader.

    The parts have the types, sizes and bounds of a header's fields. The size of the payload is not checked.
    """
    if len(data) > 0xFFFF or not data.startswith(START) or data[AUTHOR - 2 : AUTHOR] != BYTES_32:
        return None
    epoch, at = _uint(data, NUMBERS)
    seq, prev = _uint(data, at)
    kind, body = _uint(data, prev + 34)
    end = body + 34
    at = end + _SIGNATURE_ENCODED
    if at >= len(data) or epoch < 0 or seq < 0 or not 0 <= kind < 256:
        return None
    if (data[prev : prev + 2], data[body : body + 2], data[end : end + 2]) != (BYTES_32, BYTES_32, _BYTES_64):
        return None
    begin = at + (1 if data[at] < 0x58 else data[at] - 0x56)  # the length is in one byte, or in one or two more
    if data[at:begin] != _bytes_head(len(data) - begin):
        return None
    header = (
        data[_NETWORK : AUTHOR - 2],
        data[AUTHOR:NUMBERS],
        epoch,
        seq,
        data[prev + 2 : prev + 34],
        kind,
        data[body + 2 : end],
    )
    return header, data[end + 2 : at], data[begin:]


def _uint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer below 2^32 in its shortest form (-1 if there is none), and the index of the next item."""
    head = data[at : at + 3]
    if len(head) == 3:
        first = head[0]
        if first < 24:
            return first, at + 1
        if first == 0x18 and head[1] >= 24:
            return head[1], at + 2
        if first == 0x19 and head[1]:
            return head[1] << 8 | head[2], at + 3
        if first == 0x1A and (head[1] or head[2]):
            return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    return -1, at


def _bytes_head(size: int) -> bytes:
    """The bytes before a byte string of `size` < 65,536 in canonical form."""
    if size < 24:
        return bytes((0x40 + max(size, 0),))
    return bytes((0x58, size)) if size < 256 else b"Y" + size.to_bytes(2, "big")
