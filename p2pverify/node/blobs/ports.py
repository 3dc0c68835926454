"""What fetching and serving need from the disk, and which files they may touch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from p2pverify.core.blobs.chunks import ChunkList
from p2pverify.core.contract.history.files import FileEntry

Allowed = Callable[[], Mapping[bytes, FileEntry]]
"""The files that may be fetched and served, by SHA-256: those that counted records of the newest final view name.

It is called for each request, and returns the same object while nothing has changed.
"""


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """A file in the store, or a file elsewhere on this machine that is served from its place (`is_own`).

    `bytes` is its size on disk. A file that is not `is_whole` is being fetched, or its download was interrupted. The
    store never deletes a `pinned` file to make room.
    """

    sha256: bytes
    bytes: int
    pinned: bool
    is_whole: bool
    is_own: bool


class PartialBlob(Protocol):
    """A file that is being fetched. Its methods block, and raise UserError if the disk does not take the bytes."""

    @property
    def missing(self) -> frozenset[int]:
        """The chunks that the file has not yet."""
        ...

    def write(self, chunk: int, data: bytes) -> bool:
        """Write a chunk into the file. False, and nothing is written, if these bytes are not the chunk."""
        ...

    def finish(self) -> Path:
        """Give the whole file its name, on disk. Raises UserError if it is not the file of the entry."""
        ...

    def close(self) -> None:
        """Let go of the file. Chunks in it stay for another try."""
        ...


class BlobKeeper(Protocol):
    """The files on this machine. Methods block, and raise UserError if the disk fails."""

    def path(self, sha256: bytes) -> Path | None:
        """Where a whole file is; None if there is none."""
        ...

    def read(self, sha256: bytes, offset: int, length: int) -> bytes | None:
        """Bytes of a whole file; None if there is no such file, or not so many bytes in it."""
        ...

    def chunk_list(self, sha256: bytes) -> bytes | None:
        """The encoded chunk list of a file that is held, whole or in part."""
        ...

    def begin(self, entry: FileEntry, chunks: ChunkList, *, pin: bool) -> PartialBlob:
        """Begin or resume a file. Makes room within the quota by deleting unpinned files, least recently used first."""
        ...

    def register(self, path: Path) -> object:
        """Serve a file that is elsewhere on this machine from its place until it changes. It is hashed first."""
        ...

    def keep(self, data: bytes) -> bytes:
        """Keep a small file that was made here, not pinned. Returns its SHA-256."""
        ...

    def delete(self, sha256: bytes) -> bool:
        """Delete a file, pinned or not. False if there was none."""
        ...

    def pin(self, sha256: bytes) -> None:
        """Never delete a file to make room."""
        ...

    def held(self) -> tuple[HeldBlob, ...]:
        """All files, by SHA-256."""
        ...

    def statistics(self) -> dict[str, int]:
        """The files, their bytes in the store, and the quota."""
        ...


class RoundBlobSource(Protocol):
    """The blobs of training rounds that this node has: updates, shown rows and weights."""

    def is_served(self, sha256: bytes) -> bool:
        """Whether members may have a blob: a counted record of an open round or of a version names it."""
        ...

    def read(self, sha256: bytes, offset: int, length: int) -> bytes | None:
        """Bytes of a blob; None if it is not here, or has not so many. Blocks. Raises UserError."""
        ...
