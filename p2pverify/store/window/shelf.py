"""Records by id: the newest and the last used ones in memory, all others on disk.

A ledger keeps the ids of its records, and asks for a record when it needs its content. A record that is not on disk yet
stays in memory until the journal has written it.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.store.errors import RESTORE_HINT, StoreError, translated
from p2pverify.store.integrity.checksum import sum_of

#: Decoded records in memory, besides those that are not on disk yet. One takes about 2 kB.
RECORDS_KEPT = 4096
_GET = "SELECT bytes, sum FROM records WHERE id = ?"


class DiskShelf:
    """The records of one database. `reader` is a connection of its own, which `close` closes. Its methods block."""

    def __init__(self, path: Path, reader: sqlite3.Connection) -> None:
        self._path = path
        self._reader = reader
        self._unwritten: dict[bytes, Record] = {}
        self._used: OrderedDict[bytes, Record] = OrderedDict()
        #: Whether the records that are put come from the disk.
        self.is_loading = False
        self._counters = Counters(("records_read",))

    def put(self, record: Record) -> None:
        """Take a record, which stays in memory until it is on disk. One that has waited for an earlier one is."""
        if self.is_loading or self._has(record.id):
            self._use(record)
        else:
            self._unwritten.setdefault(record.id, record)

    def note_written(self, ids: Iterable[bytes]) -> None:
        """These records are on disk."""
        for record_id in ids:
            record = self._unwritten.pop(record_id, None)
            if record is not None:
                self._use(record)

    def get(self, record_id: bytes) -> Record | None:
        """A record; None if it is not held. Raises StoreError if it cannot be read, or is not what was written."""
        found = self._unwritten.get(record_id)
        if found is not None:
            return found
        found = self._used.get(record_id)
        if found is None:
            found = self._read(record_id)
            if found is not None:
                self._use(found)
            return found
        self._used.move_to_end(record_id)
        return found

    def drop(self, ids: Iterable[bytes]) -> None:
        """Forget records in memory. Their rows are deleted with the next base."""
        for record_id in ids:
            self._unwritten.pop(record_id, None)
            self._used.pop(record_id, None)

    def close(self) -> None:
        self._reader.close()

    def statistics(self) -> dict[str, int]:
        return {"records_in_memory": len(self._unwritten) + len(self._used), **self._counters}

    def _use(self, record: Record) -> None:
        self._used[record.id] = record
        if len(self._used) > RECORDS_KEPT:
            self._used.popitem(last=False)

    def _has(self, record_id: bytes) -> bool:
        with translated(self._path):
            return self._reader.execute("SELECT 1 FROM records WHERE id = ?", (record_id,)).fetchone() is not None

    def _read(self, record_id: bytes) -> Record | None:
        with translated(self._path):
            row = self._reader.execute(_GET, (record_id,)).fetchone()
        if row is None:
            return None
        self._counters.count("records_read")
        data, sum_ = row
        try:
            record = decode_record(data)
        except DecodeError:
            record = None
        if record is None or record.id != record_id or sum_ != sum_of(data):
            raise StoreError(
                f"record {record_id.hex()[:16]} was damaged on disk while the node ran",
                "start the node again: it fetches the record from other peers; or "
                + RESTORE_HINT.format(path=self._path),
            )
        return record
