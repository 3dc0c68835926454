"""Files that people name, and their text, with the byte order marks and line ends of any system.

Other modules read the content: `tomlfile` reads TOML, `corpus` reads prompts. This module needs the standard library
alone, so that `home` can read its small files in the same way.
"""

import os
from pathlib import Path

from p2pverify.node.user_error import UserError

_MARK = "\ufeff"
#: Byte order marks of encodings that are not supported. UTF-32 comes first, because its marks begin with those of
#: UTF-16.
_OTHER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class FileError(UserError):
    """A file that people write is not valid: `reason` names the place, `hint` says what to do."""

    def __init__(self, path: Path, reason: str, hint: str) -> None:
        super().__init__(f"{path}: {reason}", hint)
        self.path = path


class FileMissingError(FileError):
    """There is no such file."""

    is_usage = True


class TextError(ValueError):
    """Bytes that are not UTF-8 text; the message says what they are."""


def read_bytes(path: Path, *, size_max: int, missing: str, private: bool = False) -> bytes:
    """A file of at most `size_max` bytes. With `private`, only its owner may have access to it. Raises FileError."""
    try:
        with path.open("rb") as file:
            if private and os.fstat(file.fileno()).st_mode & 0o077:
                raise FileError(path, "can be read or written by other users", f"run 'chmod 600 {path}'")
            data = file.read(size_max + 1)
    except FileNotFoundError:
        raise FileMissingError(path, "there is no such file", missing) from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", "check its path and permissions") from None
    except ValueError:  # a NUL character in the name
        raise FileMissingError(path, "is not the name of a file", missing) from None
    if len(data) > size_max:
        raise FileError(path, f"is longer than {size_max} bytes", "check that it is the right file")
    return data


def user_path(named: str | Path) -> Path:
    """A path with `~` replaced by the user's home directory, and `~name` by that of another user, if there is one."""
    try:
        return Path(named).expanduser()
    except RuntimeError:
        return Path(named)


def text_of(path: Path, data: bytes) -> str:
    """The text in the bytes of a file. Raises FileError."""
    try:
        return decode_text(data)
    except TextError as error:
        raise FileError(path, str(error), "save it as UTF-8 text") from None


def decode_text(data: bytes) -> str:
    """UTF-8 text, without the byte order mark that some editors put before it. Raises TextError."""
    for mark, name in _OTHER_MARKS:
        if data.startswith(mark):
            raise TextError(f"is {name} text, not UTF-8")
    if b"\0" in data:
        raise TextError(f"is not UTF-8 text (byte {data.index(0)} is zero; UTF-16 has many of these)")
    try:
        return data.decode().removeprefix(_MARK)
    except UnicodeDecodeError as error:
        raise TextError(f"is not UTF-8 (byte {error.start})") from None


def lines_of(text: str) -> list[str]:
    """Lines without their ends. A line ends with LF, CR LF or CR; every other character belongs to the line.

    A byte order mark at the start of a line comes from concatenated files; it is dropped.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return [line.removeprefix(_MARK) for line in unified.removesuffix("\n").split("\n")]
