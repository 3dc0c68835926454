"""Where commands write: a new file, an existing file that may be replaced, or a stream.

A regular file is written next to its place and then renamed, so that readers see the old file or the new one, never a
part. Pipes, devices, descriptors of this process and standard output ("-") are written directly. Links are followed.
"""

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from p2pverify.node.files.home import atomic_file
from p2pverify.node.user_error import UserError

STDOUT = "-"
_LINKS_MAX = 40
_HEAD_BYTES = 256

#: Tells whether an existing regular file may be replaced.
Replaces = Callable[[Path], bool]


class OutputError(UserError):
    """Nothing can be written to a target: `reason` says why, `hint` says what to do.

    `is_usage` means that a target of this kind can never be written.
    """

    def __init__(self, reason: str, hint: str, *, is_usage: bool = False) -> None:
        super().__init__(reason, hint)
        self.is_usage = is_usage


def never(_path: Path) -> bool:
    """An existing file stays."""
    return False


def unforced(_path: Path) -> bool:
    """An existing file stays, because --force was not given."""
    return False


def always(_path: Path) -> bool:
    """An existing file is replaced: by --force, or because it was read first and is written back."""
    return True


def same_report(schema: str) -> Replaces:
    """Only an earlier report of the same schema is replaced."""
    start = re.compile(rb'\s*\{\s*"schema":\s*"' + re.escape(schema.encode()) + rb'"')

    def is_report(path: Path) -> bool:
        with path.open("rb") as file:
            return start.match(file.read(_HEAD_BYTES)) is not None

    return is_report


def check_output(target: str | Path, replaces: Replaces = never, *, is_binary: bool = False) -> None:
    """Raise OutputError if `target` cannot be written. Call it before the work, not after it."""
    with _translated(target):
        _place(target, replaces, is_binary=is_binary)


@contextmanager
def open_output(
    target: str | Path, replaces: Replaces = never, *, mode: int = 0o644, is_binary: bool = False
) -> Iterator[BinaryIO]:
    """A file to write to. `mode` is the mode of a new file, narrowed by the umask. Raises OutputError.

    If the block fails, a regular file stays as it was. With `is_binary`, nothing is written to a terminal.
    """
    with _translated(target):
        place = _place(target, replaces, is_binary=is_binary)
        if isinstance(place, int):
            with _stream(place) as file:
                yield file
        elif place.exists() and not place.is_file():
            with _device(place, is_binary=is_binary) as file:
                yield file
        else:
            with atomic_file(place, mode=mode) as file:
                yield file


def is_stdout(target: str | Path) -> bool:
    """Whether `target` is the same file as standard output, so that nothing else may be printed there."""
    try:
        found = _descriptor(target)
        return os.path.samestat(Path(target).stat() if found is None else os.fstat(found), os.fstat(1))
    except OSError:
        return False


def _place(target: str | Path, replaces: Replaces, *, is_binary: bool) -> int | Path:
    """A descriptor of this process, the path of a pipe or device, or the resolved path of a regular file."""
    found = _descriptor(target)
    if found is not None:
        os.fstat(found)  # raises OSError if it is not open
        if found == 1 and sys.__stdout__ is None:  # standard output was closed when this process began
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if is_binary and os.isatty(found):
            raise _terminal(target)
        return found
    path = Path(target)
    try:
        status = path.stat()
    except FileNotFoundError:
        place = path.resolve()
        if place.parent.is_dir():
            return place
        raise OutputError(
            f"{target}: its directory does not exist", "make the directory, or write elsewhere", is_usage=True
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{target} is a directory", "name a file in it", is_usage=True)
    if not stat.S_ISREG(status.st_mode):
        return path
    if not replaces(path):
        force = "" if replaces is never else ", or replace it with --force"
        raise OutputError(f"{target} exists already", f"name another file{force}")
    return path.resolve()


def _descriptor(target: str | Path) -> int | None:
    """The descriptor of this process that a path names, as "-", /dev/stdout and /dev/fd/3 do. None for other paths."""
    if str(target) == STDOUT:
        return 1
    path = Path(target).absolute()
    for _ in range(_LINKS_MAX):
        path = path.parent.resolve() / path.name
        if str(path.parent) == f"/proc/{os.getpid()}/fd" and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


@contextmanager
def _stream(descriptor: int) -> Iterator[BinaryIO]:
    if descriptor == 1:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with os.fdopen(os.dup(descriptor), "wb") as file:
        yield file


@contextmanager
def _device(path: Path, *, is_binary: bool) -> Iterator[BinaryIO]:
    """A pipe or a device; it is neither created nor truncated. Opening a pipe waits for its reader."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY), "wb") as file:
        if is_binary and file.isatty():
            raise _terminal(path)
        yield file


def _terminal(target: str | Path) -> OutputError:
    name = "standard output" if str(target) == STDOUT else str(target)
    return OutputError(
        f"{name} is a terminal, and this output is not text",
        "name a file, or pipe it to another program",
        is_usage=True,
    )


@contextmanager
def _translated(target: str | Path) -> Iterator[None]:
    name = "standard output" if str(target) == STDOUT else str(target)
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"no space left to write {name}", "free some space and try again") from error
        reason = f"{name} cannot be written ({error.strerror})"
        raise OutputError(reason, "check the path and its permissions") from error
