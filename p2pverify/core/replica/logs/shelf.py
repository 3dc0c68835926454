"""Where the records of a ledger are kept: by id, in memory or on disk. The ledger knows which of them it holds."""

from collections.abc import Iterable
from typing import Protocol

from p2pverify.core.records.envelope import Record


class Shelf(Protocol):
    """Records by id (32 B)."""

    def get(self, record_id: bytes) -> Record | None:
        """The record with this id; None if it was not put here, or was dropped."""
        ...

    def put(self, record: Record) -> None:
        """Keep a record, which a ledger has taken for the first time."""
        ...

    def drop(self, ids: Iterable[bytes]) -> None:
        """Records that a ledger has forgotten. They may go."""
        ...


class MemoryShelf:
    """Records in memory."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def get(self, record_id: bytes) -> Record | None:
        return self._records.get(record_id)

    def put(self, record: Record) -> None:
        self._records[record.id] = record

    def drop(self, ids: Iterable[bytes]) -> None:
        for record_id in ids:
            self._records.pop(record_id, None)


class SharedShelf:
    """Records in memory, for several ledgers of one process. A record stays until all of them have dropped it."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._holders: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._records)

    def values(self) -> Iterable[Record]:
        """The records that at least one ledger holds."""
        return self._records.values()

    def get(self, record_id: bytes) -> Record | None:
        return self._records.get(record_id)

    def put(self, record: Record) -> None:
        self._records.setdefault(record.id, record)
        self._holders[record.id] = self._holders.get(record.id, 0) + 1

    def drop(self, ids: Iterable[bytes]) -> None:
        for record_id in ids:
            left = self._holders.get(record_id, 0) - 1
            if left > 0:
                self._holders[record_id] = left
            else:
                self._holders.pop(record_id, None)
                self._records.pop(record_id, None)
