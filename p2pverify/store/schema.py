"""The database file: its tables, how it is made, and how an existing one is recognised.

A file is accepted only if its application id, schema version, network and identity are the expected ones. It is not
changed before that check. The module `sqlite` reads and writes the rows.

Commits use `synchronous=FULL`: in WAL mode, each one waits for the disk. With NORMAL, a power cut loses the last
commits, though a killed process loses none. A node that has forgotten what it signed would sign the same sequence
number again, and lose its weight for that. The waiting costs little, because commits are batched.
"""

import logging
import os
import sqlite3
from pathlib import Path

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.store.errors import RESTORE_HINT, StoreError, is_damage
from p2pverify.store.window.tables import TABLES, TRIGGERS

APPLICATION_ID = 0x70327076  # "p2pv", in the file's header at byte 68
SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 5.0
WAL_BYTES_MAX = 64 << 20  # left of the write-ahead log after a checkpoint
FREE_PART = 4  # the file is shortened if more than this part of it is free

_FAULTS_MAX = 100
log = logging.getLogger(__name__)


def create(path: Path, network_id: bytes, own: bytes) -> None:
    """Make an empty database, completely or not at all: it gets its name when it is complete and on disk."""
    for suffix in ("-wal", "-shm"):
        left = Path(f"{path}{suffix}")
        if left.exists():  # SQLite would replay it into the new database
            raise StoreError(
                f"{left} was left by a database that is gone",
                f"move {path} back beside it, or delete it if the database is meant to be new",
            )
    unfinished = Path(f"{path}.new")
    unfinished.unlink(missing_ok=True)
    Path(f"{unfinished}-journal").unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _fill(unfinished, network_id, own)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        Path(f"{unfinished}-journal").unlink(missing_ok=True)
        raise
    unfinished.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _fill(path: Path, network_id: bytes, own: bytes) -> None:
    """Make the tables in an empty file."""
    database = connect(path, "rw")
    try:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before the first table
        database.execute("BEGIN IMMEDIATE")
        for statement in (*TABLES, *TRIGGERS):
            database.execute(statement)
        database.executemany("INSERT INTO identity (key, value) VALUES (?, ?)", (("network", network_id), ("own", own)))
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    finally:
        database.close()


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Open an existing file in autocommit, with mode "rw" or "ro". Any thread may use it, one at a time.

    With `immutable`, the file is read without locks and without its write-ahead log, and must not change meanwhile.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
    database = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        database.execute("PRAGMA schema_version")  # the first statement that opens the file itself
    except BaseException:
        database.close()
        raise
    return database


def check(database: sqlite3.Connection, path: Path, network_id: bytes, own: bytes | None) -> list[str]:
    """Raise StoreError unless this is an undamaged database of this network and, if given, of this identity.

    Returns the differences between its indexes and its tables; the indexes can be rebuilt.
    """
    check_kind(database, path)
    faults = find_faults(database, path)
    if not are_of_indexes(faults):
        raise StoreError(f"the database is damaged ({faults[0]})", RESTORE_HINT.format(path=path))
    check_owner(database, network_id, own)
    return faults


def are_of_indexes(faults: list[str]) -> bool:
    """Whether all faults are in indexes, which can be rebuilt from their tables."""
    return all(" index " in fault for fault in faults)


def mend_indexes(database: sqlite3.Connection, path: Path, faults: list[str]) -> None:
    """Rebuild the indexes. Raises StoreError if that does not help."""
    log.warning("%s: %s; its indexes are made anew", path, faults[0])
    database.execute("REINDEX")
    left = find_faults(database, path)
    if left:
        raise StoreError(f"the database is damaged ({left[0]})", RESTORE_HINT.format(path=path))


def check_kind(database: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError unless this is a database of this version of p2pverify."""
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise StoreError(f"{path} belongs to another program or is empty", "use another path, or move it away")
    version = _pragma(database, "user_version")
    if version != SCHEMA_VERSION:
        age = "newer" if isinstance(version, int) and version > SCHEMA_VERSION else "older"
        hint = "install the p2pverify that wrote it, or " + RESTORE_HINT.format(path=path)
        raise StoreError(f"the database has version {version} of a {age} p2pverify, not {SCHEMA_VERSION}", hint)


def owner(database: sqlite3.Connection) -> tuple[bytes, bytes]:
    """The network id and the public key that a database was made for; empty if it does not say."""
    known = dict(database.execute("SELECT key, value FROM identity"))
    return known.get("network", b""), known.get("own", b"")


def check_owner(database: sqlite3.Connection, network_id: bytes, own: bytes | None) -> None:
    """Raise StoreError if the database is of another network or another identity."""
    network, key = owner(database)
    if network != network_id:
        raise StoreError(
            f"the database belongs to network {network.hex()[:16]}, not {network_id.hex()[:16]}",
            "give the network file that it was made with, or use another home directory for another network",
        )
    if own is not None and key != own:
        raise StoreError(
            f"the database belongs to peer {peer_id(key)}, not {peer_id(own)}",
            "put the identity.key back that it was made with, or use another home directory",
        )


def find_faults(database: sqlite3.Connection, path: Path) -> list[str]:
    """The faults that SQLite finds in the file, one sentence each. Changes nothing. Takes about 12 seconds per GB."""
    if _ends_within_a_page(database, path):
        return ["the file ends within a page"]
    try:
        found = {statement for (statement,) in database.execute("SELECT sql FROM sqlite_master") if statement}
        if not found.issuperset((*TABLES, *TRIGGERS)):
            return ["its tables are not those that p2pverify made"]
        lines = [str(line) for (line,) in database.execute(f"PRAGMA integrity_check({_FAULTS_MAX})")]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        return [str(error)]
    return [] if lines == ["ok"] else lines


def tune(database: sqlite3.Connection) -> None:
    """Set how the writer commits: with a write-ahead log, and every commit waits for the disk."""
    mode = _pragma(database, "journal_mode = WAL")
    if mode != "wal":
        raise StoreError("this file system cannot keep a write-ahead log", "put the home directory on a local disk")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")


def give_back(database: sqlite3.Connection) -> None:
    """Shorten the file if much of it is free. Some free pages stay, because the next records need them."""
    pages, free = (_number(database, name) for name in ("page_count", "freelist_count"))
    if free * FREE_PART > pages:
        # One step of this statement frees one page, and `execute` would take a single step.
        database.executescript(f"PRAGMA incremental_vacuum({free - pages // (2 * FREE_PART)})")


def _number(database: sqlite3.Connection, text: str) -> int:
    found = _pragma(database, text)
    return found if isinstance(found, int) else 0


def _ends_within_a_page(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the file was cut inside its last page; SQLite itself reads the missing bytes as zeroes."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size > 0:
        return False  # a checkpoint was interrupted; the log holds the page
    page_bytes = _pragma(database, "page_size")
    return not isinstance(page_bytes, int) or path.stat().st_size % page_bytes != 0


def _pragma(database: sqlite3.Connection, text: str) -> object:
    row = database.execute(f"PRAGMA {text}").fetchone()
    return row[0] if row else None
