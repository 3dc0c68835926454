"""Receipts on disk. The oldest make room for new ones."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import trio

from p2pverify.node.clients.book import BookError, KeptReceipt
from p2pverify.store.clients.database import clients_database

RECEIPTS_KEPT = 10_000
RECEIPTS_BYTES_MAX = 128 * 1024 * 1024

_PUT = "INSERT INTO receipts (id, client, document, report) VALUES (?, ?, ?, ?)"
_ALL = "SELECT document FROM receipts ORDER BY place"
_GET = "SELECT id, client, document, report FROM receipts WHERE id = ?"
# Those that are not among the newest so many, or with which the newest have too many bytes.
_PRUNE = """
    DELETE FROM receipts WHERE place <= (
        SELECT max(place) FROM (
            SELECT place, row_number() OVER newest AS number, sum(length(document)) OVER newest AS bytes
            FROM receipts WINDOW newest AS (ORDER BY place DESC))
        WHERE number > ? OR bytes > ?)"""
_PRUNED_EVERY = 64  # receipts


def kept_documents(path: Path) -> Iterator[bytes]:
    """The documents of all kept receipts, the oldest first. None if there is no file. Blocks. Raises BookError."""
    if path.exists():
        with clients_database(path) as database:
            for (document,) in database.execute(_ALL):
                yield document


class StoredReceipts:
    """Fulfils the node's port `ReceiptBook`, with the file `path`. It is made with the first receipt."""

    def __init__(self, path: Path, *, count_max: int = RECEIPTS_KEPT, bytes_max: int = RECEIPTS_BYTES_MAX) -> None:
        self._path = path
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._kept = 0
        self._limiter = trio.CapacityLimiter(1)

    async def keep(self, receipt: KeptReceipt) -> None:
        """See the port."""
        await trio.to_thread.run_sync(self._keep, receipt, limiter=self._limiter)

    async def find(self, receipt_id: str) -> KeptReceipt | None:
        """See the port."""
        return await trio.to_thread.run_sync(self._find, receipt_id, limiter=self._limiter)

    def _keep(self, receipt: KeptReceipt) -> None:
        with clients_database(self._path) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.execute(_PUT, (receipt.id, receipt.client, receipt.document, receipt.report))
                if self._kept % _PRUNED_EVERY == 0:
                    database.execute(_PRUNE, (self._count_max, self._bytes_max))
            except sqlite3.IntegrityError:
                database.execute("ROLLBACK")
                raise BookError(f"there is a receipt {receipt.id} already", "ask again") from None
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        self._kept += 1

    def _find(self, receipt_id: str) -> KeptReceipt | None:
        if not self._path.exists():
            return None
        with clients_database(self._path) as database:
            row = database.execute(_GET, (receipt_id,)).fetchone()
        return None if row is None else KeptReceipt(*row)
