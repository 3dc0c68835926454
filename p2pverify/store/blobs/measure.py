"""Hashes a file and its chunks, and tells whether it has changed since."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.blobs.chunks import ChunkList, chunk_bytes
from p2pverify.core.contract.history.files import FILE_BYTES_MAX, FileEntry
from p2pverify.store.errors import StoreError, translated


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file changes."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, handle: int) -> "Stamp":
        status = os.fstat(handle)
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """The SHA-256 (32 B) and the chunk list of a file, and its stamp when it was read."""

    sha256: bytes
    chunks: ChunkList
    stamp: Stamp

    def entry(self, path: str) -> FileEntry:
        """The entry of a release for this file, with the path that readers give it."""
        return FileEntry(path, self.chunks.size, self.sha256, self.chunks.digest)


def measure_file(path: Path) -> MeasuredFile:
    """Hash a file and its chunks, in one pass. Raises StoreError."""
    with translated(path):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            stamp = Stamp.of(handle)
            if stamp.size > FILE_BYTES_MAX:
                raise StoreError(f"{path} has {stamp.size} bytes", f"at most {FILE_BYTES_MAX} are possible")
            whole, hashes, size = hashlib.sha256(), [], 0
            for chunk in chunks_of(file.fileno(), stamp.size):
                whole.update(chunk)
                hashes.append(hashlib.sha256(chunk).digest())
                size += len(chunk)
            if size != stamp.size or Stamp.of(handle) != stamp:
                raise StoreError(f"{path} changed while it was read", "try again when nothing writes it")
    return MeasuredFile(whole.digest(), ChunkList(size, tuple(hashes)), stamp)


def chunks_of(handle: int, size: int) -> Iterator[bytes]:
    """The chunks of an open file of a size, as far as they are there."""
    each = chunk_bytes(size)
    for offset in range(0, size, each):
        data = bytes_at(handle, offset, min(each, size - offset))
        if not data:
            return
        yield data


def bytes_at(handle: int, offset: int, length: int) -> bytes:
    """At most `length` bytes, fewer at the end of the file."""
    data = os.pread(handle, length, offset)
    while len(data) < length:
        more = os.pread(handle, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
