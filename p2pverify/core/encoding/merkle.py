"""The Merkle tree hash of RFC 6962 section 2.1: one digest for an ordered list of byte strings.

The caller chooses the strings and their order; a set must be sorted first. There are no inclusion
proofs here, because peers that disagree about a root compare the sets themselves.
"""

import hashlib
from collections.abc import Sequence

_LEAF = b"\x00"
_NODE = b"\x01"


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree hash (32 bytes) of the leaves in the given order; without leaves, SHA-256 of no bytes.

    The RFC splits at the largest power of two below the length. Pairing from the left, and passing an odd
    last node up unchanged, gives the same tree in linear time.
    """
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(_LEAF + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        paired = [
            hashlib.sha256(_NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]
