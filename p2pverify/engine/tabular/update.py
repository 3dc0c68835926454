"""An update: what one contributor's training adds to the weights. Its canonical bytes, its norm, and the clip.

update = the domain, then each number as a big-endian integer of 32 bits, in the order of the weights
"""

from math import isqrt

import numpy as np

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.tabular.numbers import Ints

MAGIC = b"p2pverify/update/1\0"


def encode_update(update: Ints) -> bytes:
    """The canonical bytes of an update."""
    return MAGIC + update.astype(">i4").tobytes()


def update_digest(update: Ints) -> bytes:
    """SHA-256 (32 B) of the canonical bytes: the name of the update."""
    return sha256(encode_update(update))


def decode_update(data: bytes, count: int, clip: int) -> Ints:
    """Read an update of `count` numbers, whose norm must be at most `clip`. Raises DecodeError."""
    if not data.startswith(MAGIC):
        raise DecodeError("not an update")
    if len(data) != len(MAGIC) + 4 * count:
        raise DecodeError(f"an update: not {count} numbers")
    update = np.frombuffer(data, ">i4", offset=len(MAGIC)).astype(np.int64)
    if not is_within(update, clip):
        raise DecodeError("an update: its norm is above the clip")
    return update


def norm_squared(update: Ints) -> int:
    """The squared Euclidean norm, exactly, of up to 2^22 numbers of at most 2^32: each sum stays below 2^57."""
    upper, lower = update >> 15, update & 0x7FFF
    return (int((upper * upper).sum()) << 30) + (int((upper * lower).sum()) << 16) + int((lower * lower).sum())


def is_within(update: Ints, clip: int) -> bool:
    """Whether the Euclidean norm is at most `clip`."""
    return norm_squared(update) <= clip * clip


def clipped(update: Ints, clip: int) -> Ints:
    """The update, shrunk to the norm `clip` if it is longer. Numbers are rounded towards 0, so no norm is above it."""
    if is_within(update, clip):
        return update
    norm = isqrt(norm_squared(update) - 1) + 1
    shrunk: Ints = np.sign(update) * (np.abs(update) * clip // norm)
    return shrunk
