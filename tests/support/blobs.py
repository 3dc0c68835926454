"""Files to fetch, and what serves them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.node.blobs.serving import BlobServer
from p2pverify.store.blobs.measure import measure_file
from p2pverify.store.blobs.store import BlobStore

MIB = 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """A file with its entry. Equal sizes and seeds give equal files."""

    path: Path
    data: bytes
    entry: FileEntry

    @property
    def allowed(self) -> dict[bytes, FileEntry]:
        return {self.entry.sha256: self.entry}


def make_blob(folder: Path, size: int, *, seed: int = 1, name: str = "model.gguf") -> Blob:
    folder.mkdir(exist_ok=True)
    path = folder / name
    data = random.Random(seed).randbytes(size)
    path.write_bytes(data)
    return Blob(path, data, measure_file(path).entry(name))


def server_of(blob: Blob, server: Callable[..., BlobServer] = BlobServer) -> BlobServer:
    """What serves this one file from its place."""
    store = BlobStore(blob.path.parent / "no store", 0)
    store.register(blob.path)
    allowed = blob.allowed
    return server(store, lambda: allowed)


class LyingServer(BlobServer):
    """Turns over the last byte of each piece of a file, and sends right chunk lists."""

    async def read(self, sha256: bytes, offset: int, length: int) -> bytes:
        data = await super().read(sha256, offset, length)
        return data[:-1] + bytes([data[-1] ^ 1]) if sha256 in self._allowed() else data
