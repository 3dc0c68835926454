"""A file that is being fetched: every chunk is checked before it is written."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from p2pverify.core.blobs.chunks import ChunkList
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.node.blobs.ports import PartialBlob
from p2pverify.store.blobs.measure import chunks_of
from p2pverify.store.errors import StoreError, translated


class Partial(PartialBlob):
    """A file that is being fetched; see the port. `write` may be called from several threads.

    Opening hashes the chunks that are there already. The store passes what gives the file its name and what ends the
    download.
    """

    def __init__(
        self,
        path: Path,
        handle: int,
        entry: FileEntry,
        chunks: ChunkList,
        *,
        name: Callable[[], Path],
        let_go: Callable[[], None],
    ) -> None:
        self._path = path
        self._handle = handle
        self._entry = entry
        self._chunks = chunks
        self._name = name
        self._let_go = let_go
        self._is_open = True
        self._lock = threading.Lock()
        self._missing = set(range(len(chunks.hashes)))
        with translated(self._path):
            if os.fstat(handle).st_size > entry.size:
                os.ftruncate(handle, entry.size)
            for chunk, data in enumerate(chunks_of(handle, entry.size)):
                if chunks.holds(chunk, data):
                    self._missing.discard(chunk)

    @property
    def missing(self) -> frozenset[int]:
        """See the port."""
        with self._lock:
            return frozenset(self._missing)

    def write(self, chunk: int, data: bytes) -> bool:
        """See the port. Raises StoreError."""
        if not self._chunks.holds(chunk, data):
            return False
        offset, _ = self._chunks.span(chunk)
        with translated(self._path):
            view = memoryview(data)
            while view:
                written = os.pwrite(self._handle, view, offset)
                view, offset = view[written:], offset + written
        with self._lock:
            self._missing.discard(chunk)
        return True

    def finish(self) -> Path:
        """See the port. Raises StoreError."""
        with translated(self._path):
            os.fsync(self._handle)
            whole = hashlib.sha256()
            for data in chunks_of(self._handle, self._entry.size):
                whole.update(data)
            if os.fstat(self._handle).st_size != self._entry.size or whole.digest() != self._entry.sha256:
                os.ftruncate(self._handle, 0)
                raise StoreError(
                    f"{self._entry.path} is not the file that its release names, though all its chunks are right",
                    "ask the publisher of this release for a right one",
                    fatal=False,
                )
        return self._name()

    def close(self) -> None:
        """See the port. Does nothing the second time."""
        if self._is_open:
            self._is_open = False
            self._let_go()
