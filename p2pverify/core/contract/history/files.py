"""A file that a release names: its path, its size, its digest, and the digest of its chunk list.

The SHA-256 of a file is its one name. The path says only where a reader puts the file, below a folder of its own.
Protocol page: protocol/blob.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint
from p2pverify.core.errors import DecodeError

FILE_BYTES_MAX = 10**12
FILE_PATH_BYTES_MAX = 256
#: Paths are printable ASCII. Which other text is normalised depends on the version of Unicode, and a record must not be
#: valid for one peer only.
_FIRST, _LAST = " ", "~"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file: relative path, size in bytes, SHA-256 of its bytes, and SHA-256 of its chunk list (32 B each)."""

    path: str
    size: int
    sha256: bytes
    chunks: bytes

    def to_value(self) -> list[object]:
        return [self.path, self.size, self.sha256, self.chunks]


def read_file_entry(value: Value) -> FileEntry:
    """Read a decoded entry. Raises DecodeError."""
    path, size, digest, chunks = as_array(value, "file", length=4)
    return FileEntry(
        check_path(as_text(path, "path", FILE_PATH_BYTES_MAX)),
        as_uint(size, "size", FILE_BYTES_MAX),
        as_bytes(digest, "sha256", size=32),
        as_bytes(chunks, "chunks", size=32),
    )


def check_path(path: str) -> str:
    """The same path if it stays below the folder of its reader. Raises DecodeError."""
    if not all(_FIRST <= char <= _LAST and char != "\\" for char in path):
        raise DecodeError("path: not printable ASCII without backslashes")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise DecodeError("path: absolute, or with a segment that is empty, '.' or '..'")
    return path
