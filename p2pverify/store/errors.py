"""The errors of a disk, each with a hint.

Exceptions of `sqlite3` and of the operating system are translated here, at the store's border, through one table.
Protocol errors (a sequence number used twice) are `core.errors.LocalProtocolError`.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pverify.node.user_error import UserError


class StoreError(UserError):
    """The database could not be opened, read or written.

    `reason` says what happened, `hint` says what to do. After a `fatal` error the store must not be written to again;
    after another (disk full, locked) a later write may succeed.
    """

    def __init__(self, reason: str, hint: str, *, fatal: bool = True) -> None:
        super().__init__(reason, hint)
        self.fatal = fatal

    def copy(self) -> "StoreError":
        """An equal error for another waiter, so that tracebacks do not add up on one object."""
        return StoreError(self.reason, self.hint, fatal=self.fatal)


class ExportError(Exception):
    """A ledger export that cannot be made, or that is not what its writer wrote.

    `offset` is the byte at which the fault was found, and `record` the number of whole records before it. Both are None
    if the fault is not in the file's content.
    """

    def __init__(self, reason: str, offset: int | None = None, record: int | None = None) -> None:
        where = "" if offset is None else f" (at byte {offset}, after {record} whole records)"
        super().__init__(reason + where)
        self.reason = reason
        self.offset = offset
        self.record = record


class NotAnExportError(UserError):
    """A file of another kind: `kind` names it, `hint` says what to do."""

    def __init__(self, kind: str, hint: str) -> None:
        super().__init__(f"this is {kind}, not a ledger export", hint)
        self.kind = kind


RESTORE_HINT = (
    "stop the node, move the files {path}* away, and start it again; "
    "the records come back from other peers, and a copy of the home directory brings back the rest"
)

DISK_FULL = "the disk or the quota is full"
_BY_CODE = {
    sqlite3.SQLITE_FULL: (DISK_FULL, "free some space", False),
    sqlite3.SQLITE_BUSY: ("the database is locked", "stop the other program that has {path} open", False),
    sqlite3.SQLITE_LOCKED: ("the database is locked", "stop the other program that has {path} open", False),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", RESTORE_HINT, True),
    sqlite3.SQLITE_NOTADB: ("this file is not a database", RESTORE_HINT, True),
    sqlite3.SQLITE_READONLY: ("the database is read-only", "make {path} and its directory writable", True),
    sqlite3.SQLITE_PERM: (
        "this user has no permission to open the database",
        "make {path} and its directory writable",
        True,
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened",
        "check that {path} is a file and that its directory exists and is writable",
        True,
    ),
    # A quota and a limit on file sizes give this error; the transaction was rolled back.
    sqlite3.SQLITE_IOERR_WRITE: (
        "the disk accepts no more data",
        "free some space, or check the disk under {path}",
        False,
    ),
    sqlite3.SQLITE_IOERR_SHMSIZE: (DISK_FULL, "free some space", False),
    sqlite3.SQLITE_IOERR: (
        "the disk failed to read or write",
        "check the disk under {path}, then start again",
        True,
    ),
}


def from_sqlite(error: sqlite3.Error, path: Path, *, then: str = " and try again") -> StoreError:
    """The StoreError for a sqlite3 error, in words for the operator of the node.

    `then` is appended to the hint of an error that is not fatal.
    """
    code = getattr(error, "sqlite_errorcode", None)
    known = _BY_CODE.get(code, _BY_CODE.get(code & 0xFF)) if isinstance(code, int) else None
    if known is None:
        return StoreError(f"the database failed ({error})", f"check {path}, then start again")
    reason, hint, fatal = known
    return StoreError(reason, hint.format(path=path) + ("" if fatal else then), fatal=fatal)


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether a sqlite3 error means that the content of the file has changed since it was written."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def from_os(error: OSError, path: Path) -> StoreError:
    """The StoreError for a file operation that the system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(DISK_FULL, "free some space and try again", fatal=False)
    return StoreError(f"{path} cannot be used ({error.strerror})", "check the path and its permissions")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate every exception of sqlite3 and of the operating system to StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    except UnicodeDecodeError as error:  # SQLite's text about a damaged schema may be no UTF-8
        raise StoreError("the database is damaged", RESTORE_HINT.format(path=path)) from error
    except OSError as error:
        raise from_os(error, path) from error
