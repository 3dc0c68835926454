"""Files of other projects: bounded, and strict where their own readers are lenient."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TypeAlias

from p2pverify.node.user_error import UserError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

FOREIGN_BYTES_MAX = 16 << 20
DEPTH_MAX = 32
FILES_MAX = 4096
NAME_CHARS_MAX = 1024
_CHUNK_BYTES = 1 << 22


class ForeignError(UserError):
    """A file of another project cannot be read or written: `reason` says why, `hint` what to do."""


class MismatchError(ForeignError):
    """A file was read, and a check of it failed."""


def parse_json(data: bytes, *, size_max: int = FOREIGN_BYTES_MAX) -> Json:
    """Read JSON in UTF-8 whose objects have no name twice, and without NaN and Infinity. Raises ForeignError."""
    if len(data) > size_max:
        raise ForeignError(f"JSON of more than {size_max} bytes", "check that it is the right file")
    try:
        value: Json = json.loads(data.decode(), object_pairs_hook=_distinct, parse_constant=_refused)
    except UnicodeDecodeError:
        raise ForeignError("JSON that is not UTF-8") from None
    except RecursionError:
        raise ForeignError("JSON that is too deep") from None
    except ValueError as error:
        raise ForeignError(f"not JSON: {error}") from None
    _check_depth(value)
    return value


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(DEPTH_MAX):
        inner = [one for one in level if isinstance(one, dict | list)]
        if not inner:
            return
        level = [item for one in inner for item in (one.values() if isinstance(one, dict) else one)]
    raise ForeignError(f"JSON of more than {DEPTH_MAX} levels")


def member(value: Json, *names: str) -> Json:
    """The value at a path of names in objects, None if there is none."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def texts(value: Json) -> list[str]:
    """A list of texts, or one text as a list; nothing else counts."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def plain_path(name: str) -> str:
    """The same name if it stays below the folder of its reader. Raises ForeignError."""
    parts = name.split("/")
    if len(name) > NAME_CHARS_MAX or not name.isprintable() or "\\" in name or {"", ".", ".."} & set(parts):
        raise ForeignError(f"a file is called {name[:80]!r}, which is no relative path below its folder")
    return name


def folder_files(folder: Path) -> list[str]:
    """The relative paths of all files below a folder, sorted as texts.

    Raises ForeignError for links and other special files, because they can lead out of the folder, and for more than
    FILES_MAX files.
    """
    try:
        found = sorted(path.relative_to(folder).as_posix() for path in _walk(folder))
    except OSError as error:
        raise ForeignError(f"{folder} cannot be read ({error.strerror})", "check its path and permissions") from None
    if len(found) > FILES_MAX:
        raise ForeignError(f"{folder} has more than {FILES_MAX} files", "name the folder of one model")
    return [plain_path(name) for name in found]


def _walk(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, files in os.walk(folder, onerror=_fail):
        for name in (*folders, *files):
            path = Path(place) / name
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise ForeignError(f"{path} is a link or a special file", "replace it by the file itself")
            if stat.S_ISREG(mode):
                yield path
            count += 1
            if count > 2 * FILES_MAX:
                raise ForeignError(f"{folder} has more than {FILES_MAX} files", "name the folder of one model")


def _fail(error: OSError) -> NoReturn:
    raise error


def is_plain(path: Path) -> bool:
    """Whether a path is a regular file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def sha256_of(path: Path) -> bytes:
    """SHA-256 (32 B) of a file. Raises ForeignError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise ForeignError(f"{path} cannot be read ({error.strerror})", "check its path and permissions") from None
    return digest.digest()
