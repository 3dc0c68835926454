"""The Merkle tree hash of RFC 9162 section 2.1: one digest for a list of byte strings, and proofs of inclusion.

The caller chooses the strings and their order; a set must be sorted first.
"""

import hashlib
from collections.abc import Sequence

#: The leaves of one group of a grouped root.
GROUP = 32
_LEAF = b"\x00"
_NODE = b"\x01"
_EMPTY = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """The hash (32 bytes) of one leaf."""
    return hashlib.sha256(_LEAF + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree hash (32 bytes) of the leaves in the given order; without leaves, SHA-256 of no bytes."""
    return root_of([leaf(data) for data in leaves])


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The tree hash over the hashes of leaves."""
    level = list(hashes)
    while len(level) > 1:
        level = _next_level(level)
    return level[0] if level else _EMPTY


def grouped_root(hashes: Sequence[bytes]) -> bytes:
    """The tree hash over groups of leaves, given the hashes of the leaves: 32 bytes.

    Each leaf of the tree is the hashes of GROUP consecutive leaves, the last one of the rest. So a root over a few
    hundred leaves that come and go needs few hashes, and the proof of a leaf begins with the other hashes of its group.
    """
    return root([b"".join(hashes[at : at + GROUP]) for at in range(0, len(hashes), GROUP)])


def inclusion_path(hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The inclusion proof of the leaf at `index`: the hashes of its siblings, from the leaf upwards."""
    return inclusion_paths(hashes, [index])[0]


def inclusion_paths(hashes: Sequence[bytes], indices: Sequence[int]) -> list[tuple[bytes, ...]]:
    """The inclusion proofs of several leaves of one tree. Raises IndexError."""
    if not all(0 <= index < len(hashes) for index in indices):
        raise IndexError("no such leaf")
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        levels.append(_next_level(levels[-1]))
    return [
        tuple(
            level[sibling] for height, level in enumerate(levels[:-1]) if (sibling := index >> height ^ 1) < len(level)
        )
        for index in indices
    ]


def root_of_path(leaf_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof gives for a leaf of a tree with `count` leaves; None if its length is wrong."""
    if not 0 <= index < count:
        return None
    found, rest = leaf_hash, list(path)
    while count > 1:
        if index % 2 or index + 1 < count:
            if not rest:
                return None
            sibling = rest.pop(0)
            found = _node(sibling, found) if index % 2 else _node(found, sibling)
        index, count = index >> 1, (count + 1) >> 1
    return None if rest else found


def _next_level(level: list[bytes]) -> list[bytes]:
    """The level above. The RFC splits at the largest power of two below the length.

    Pairing from the left, and passing an odd last node up unchanged, gives the same tree in linear time.
    """
    sha256 = hashlib.sha256  # most hashes of a fold are computed here, so there is no call of `_node`
    paired = [sha256(_NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*paired, level[-1]] if len(level) % 2 else paired


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
