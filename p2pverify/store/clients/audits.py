"""Audits of receipts on disk. They outlive their receipts, because a client's figures count them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from p2pverify.core.inference.treatment import Rescored
from p2pverify.node.clients.audits.book import KeptAudit
from p2pverify.store.clients.database import clients_database

RECEIPT_AUDITS_KEPT = 10_000

_FIELDS = "receipt, place, peer, class, found, at_ms"
_PUT = f"INSERT OR IGNORE INTO audits ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - names of columns
_OF = f"SELECT {_FIELDS} FROM audits WHERE receipt = ? ORDER BY number"  # noqa: S608 - names of columns
_ALL = f"SELECT {_FIELDS} FROM audits ORDER BY number"  # noqa: S608 - names of columns
_LEFT = "SELECT id FROM receipts WHERE id NOT IN (SELECT receipt FROM audits) ORDER BY receipts.place"
_PRUNE = "DELETE FROM audits WHERE number <= (SELECT max(number) FROM audits) - ?"
_T = TypeVar("_T")


class StoredAudits:
    """Fulfils the node's port `AuditBook`, with the file `path`, which the first receipt makes."""

    def __init__(self, path: Path, *, count_max: int = RECEIPT_AUDITS_KEPT) -> None:
        self._path = path
        self._count_max = count_max
        self._limiter = trio.CapacityLimiter(1)

    async def keep(self, audit: KeptAudit) -> None:
        """See the port."""
        row = (audit.receipt, audit.place, audit.peer, audit.class_index, audit.found.value, audit.at_ms)

        def put(database: sqlite3.Connection) -> None:
            database.execute(_PUT, row)
            database.execute(_PRUNE, (self._count_max,))

        await self._use(put, None)

    async def of(self, receipt_id: str) -> list[KeptAudit]:
        """See the port."""
        return await self._use(lambda database: _read(database.execute(_OF, (receipt_id,))), [])

    async def all(self) -> list[KeptAudit]:
        """See the port."""
        return await self._use(lambda database: _read(database.execute(_ALL)), [])

    async def receipts(self) -> list[str]:
        """See the port."""
        return await self._use(lambda database: [row[0] for row in database.execute(_LEFT).fetchall()], [])

    async def _use(self, do: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        def use() -> _T:
            if not self._path.exists():
                return nothing
            with clients_database(self._path) as database:
                return do(database)

        return await trio.to_thread.run_sync(use, limiter=self._limiter)


def _read(rows: sqlite3.Cursor) -> list[KeptAudit]:
    return [
        KeptAudit(receipt, place, peer, class_index, Rescored(found), at_ms)
        for receipt, place, peer, class_index, found, at_ms in rows.fetchall()
    ]
