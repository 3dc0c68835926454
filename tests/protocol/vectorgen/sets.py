"""The sets of negentropy vectors, from their short descriptions."""

from typing import Any

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.sync.index import Key, RecordIndex

UNLIMITED = 1 << 30


def items_of(described: dict[str, Any]) -> list[Key]:
    """Timestamps and ids: item n has timestamp n

    per_timestamp, and its id is the SHA-256 of its digits.
    """
    without = set(described["without"])
    per = described["per_timestamp"]
    return [
        (number // per, sha256(str(number).encode()))
        for begin, end in described["ranges"]
        for number in range(begin, end)
        if number not in without
    ]


def index_of(described: dict[str, Any]) -> RecordIndex:
    """The same as a sorted index."""
    index = RecordIndex()
    for epoch, record_id in items_of(described):
        index.add(epoch, record_id)
    return index
