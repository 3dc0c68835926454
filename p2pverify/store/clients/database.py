"""The file of the clients' database: its tables, and how it is opened. Several processes may have it open."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from p2pverify.node.clients.book import BookError
from p2pverify.store.errors import StoreError, translated

APPLICATION_ID = 0x70327063  # "p2pc"
SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 5.0

_TABLES = (
    """CREATE TABLE receipts (
        place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, client TEXT NOT NULL, document BLOB NOT NULL) STRICT""",
    """CREATE TABLE keys (
        id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, per_minute INTEGER NOT NULL,
        at_once INTEGER NOT NULL, added INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
)
_SINCE_2 = (
    "ALTER TABLE receipts ADD COLUMN report TEXT NOT NULL DEFAULT 'never'",
    """CREATE TABLE audits (
    number INTEGER PRIMARY KEY, receipt TEXT NOT NULL, place INTEGER NOT NULL, peer BLOB NOT NULL,
    class INTEGER NOT NULL, found TEXT NOT NULL, at_ms INTEGER NOT NULL, UNIQUE (receipt, place)) STRICT""",
)


@contextmanager
def clients_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit; the file is made if it is missing. Blocks. Raises BookError.

    A commit waits for the disk, because a receipt is on disk before its client gets the last byte.
    """
    try:
        with translated(path), closing(_opened(path)) as database:
            yield database
    except StoreError as error:
        raise BookError(error.reason, error.hint) from error


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        if _pragma(database, "application_id") == 0:
            _fill(database)
        if (_pragma(database, "application_id"), _pragma(database, "user_version")) == (APPLICATION_ID, 1):
            _upgrade(database)
        if (_pragma(database, "application_id"), _pragma(database, "user_version")) != (APPLICATION_ID, SCHEMA_VERSION):
            raise StoreError(
                f"{path} is no database of clients of this version",
                "move it away; its receipts and keys are lost to this node then",
            )
    except BaseException:
        database.close()
        raise
    return database


def _fill(database: sqlite3.Connection) -> None:
    """Make the tables, unless another process has just made them."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (*_TABLES, *_SINCE_2):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    finally:
        database.execute("COMMIT")


def _upgrade(database: sqlite3.Connection) -> None:
    """Add what a file of version 1 lacks, unless another process has just added it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if _pragma(database, "user_version") == 1:
            for statement in _SINCE_2:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    finally:
        database.execute("COMMIT")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])
