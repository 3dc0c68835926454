"""Files of a home that only their owner may read, and the errors of a home."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pverify.node.files.textfile import TextError, decode_text
from p2pverify.node.user_error import UserError

_FILE_BYTES_MAX = 4096


class HomeError(UserError):
    """The home directory cannot be used as asked: `reason` says why, `hint` says what to do."""


class HomeMissingError(HomeError):
    """There is no such home directory, or no identity in it."""

    is_usage = True


def read_private(path: Path, hint: str) -> str | None:
    """The text of a file that only its owner may read, or None if it is missing.

    `hint` goes into the error for a file that is not text.
    """
    data = read_file(path, private=True)
    if data is None:
        return None
    try:
        return decode_text(data).strip()
    except TextError as error:
        raise HomeError(f"{path} {error}", hint) from None


def read_file(path: Path, *, private: bool = False) -> bytes | None:
    with translated(path):
        try:
            # O_NONBLOCK, because opening a FIFO of this name would wait for its writer.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise HomeError(f"{path} is not a file", "move it away")
            if private and status.st_mode & 0o077:
                raise HomeError(f"{path} can be read or written by other users", f"run 'chmod 600 {path}'")
            data = file.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        raise HomeError(f"{path} is longer than {_FILE_BYTES_MAX} bytes", "restore or delete it")
    return data


@contextmanager
def translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise HomeMissingError(f"{path.parent} does not exist", "run 'p2pverify init' first") from error
    except OSError as error:
        hint = "check its owner, mode and disk"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space and try again"
        raise HomeError(f"{path} cannot be used ({error.strerror})", hint) from error
