"""The checksum beside the bytes of a stored record."""

import hashlib


def sum_of(data: bytes) -> int:
    """The first 8 bytes of the SHA-256 of a record's bytes, as a signed integer.

    A record's id does not cover its signature. With the checksum a start need not verify the signature again.
    """
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big", signed=True)
