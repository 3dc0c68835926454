"""The sets of negentropy vectors, from their short descriptions."""

from typing import Any

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Header, Record
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
    """The same as a sorted index. Only epoch and id of its records are used."""
    index = RecordIndex()
    for epoch, record_id in items_of(described):
        header = Header(bytes(32), bytes(32), epoch, 0, bytes(32), 4, bytes(32))
        index.add(Record(header, bytes(64), b"", record_id, b""))
    return index
