"""Reads a node's database from another process, while the node may run. Nothing is written to it.

This also works on a read-only medium. SQLite cannot share a write-ahead log there, so a database with a log that is not
empty is copied first.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from p2pverify.core.errors import DecodeError
from p2pverify.core.events import StoredEvidence
from p2pverify.core.replica.base import Base
from p2pverify.node.journal import decode_stored_evidence
from p2pverify.store import schema
from p2pverify.store.errors import RESTORE_HINT, StoreError, translated
from p2pverify.store.integrity.inspection import StoredRow
from p2pverify.store.window.base import base_to_start_from

_ROWS = "SELECT place, id, author, seq, kind, epoch, bytes, sum FROM records ORDER BY place"

_EVIDENCE = "SELECT epoch, slot, responder, answer FROM evidence ORDER BY epoch, slot, responder"


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an existing database, on a writable or a read-only medium. Raises sqlite3.Error, OSError."""
    try:
        connection = schema.connect(database, "rw")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        with _reading_unshared(database) as unshared:
            yield unshared
        return
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _reading_unshared(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection for a directory in which SQLite cannot make files."""
    log = Path(f"{database}-wal")
    with TemporaryDirectory(prefix="p2pverify-") as directory:
        if log.exists() and log.stat().st_size > 0:
            copy = Path(directory) / database.name
            shutil.copyfile(database, copy)
            shutil.copyfile(log, f"{copy}-wal")
            connection = schema.connect(copy, "rw")
        else:
            connection = schema.connect(database, "ro", immutable=True)
        try:
            yield connection
        finally:
            connection.close()


def stored_rows(connection: sqlite3.Connection) -> Iterator[StoredRow]:
    """All stored records in the order of their arrival. Raises sqlite3.Error."""
    return (StoredRow(*row) for row in connection.execute(_ROWS))


def read_evidence(database: Path) -> list[StoredEvidence]:
    """The answers that a challenger keeps for disputes. Damaged ones are left out. Raises StoreError."""
    found = []
    with translated(database), reading(database) as connection:
        for epoch, slot, responder, data in connection.execute(_EVIDENCE):
            with suppress(DecodeError):
                found.append(decode_stored_evidence(epoch, slot, responder, data))
    return found


def own_count(database: Path) -> int:
    """The number below which own records were signed, by a database; 0 if there is none. Raises StoreError."""
    if not database.exists():
        return 0
    with translated(database), reading(database) as connection:
        schema.check_kind(connection, database)
        (found,) = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM own_log").fetchone()
    return int(found)


def owner_of(database: Path) -> tuple[bytes, bytes] | None:
    """The network id and the public key that a database was made for; None if there is no database yet.

    Raises StoreError for a file that is not a database of this version.
    """
    if not database.exists():
        return None
    with translated(database), reading(database) as connection:
        schema.check_kind(connection, database)
        found = schema.owner(connection)
    if not all(len(part) == 32 for part in found):
        raise StoreError(f"{database} does not say of which network it is", RESTORE_HINT.format(path=database))
    return found


def newest_epoch(database: Path) -> int | None:
    """The epoch of the newest record in a database; None if there is no database, or no record. Raises StoreError."""
    if not database.exists():
        return None
    with translated(database), reading(database) as connection:
        found: int | None = connection.execute("SELECT max(epoch) FROM records").fetchone()[0]
        return found


def stored_authors(database: Path) -> frozenset[bytes]:
    """The authors of the records in a database. Raises StoreError."""
    with translated(database), reading(database) as connection:
        return frozenset(author for (author,) in connection.execute("SELECT DISTINCT author FROM records"))


def stored_cuts(database: Path) -> Base | None:
    """The base from which a node with this database starts; None if there is none. Raises StoreError."""
    if not database.exists():
        return None
    with translated(database), reading(database) as connection:
        found = base_to_start_from(connection, database)
        return None if found is None else Base(found.cuts, found.states)
