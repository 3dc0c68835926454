"""Plays a download from honest peers and from peers that serve false chunks, without a network between them."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from p2pverify.core.blobs.messages import BlobRefused
from p2pverify.core.encoding.canon import sha256
from p2pverify.node.blobs.fetcher import BlobFetcher
from p2pverify.node.blobs.serving import BlobServer, InventingServer
from p2pverify.node.ports import AskError, BlobPort
from p2pverify.node.user_error import UserError
from p2pverify.store.blobs.store import BlobStore

FILE_BYTES = 5 * 2**20 + 7
_QUOTA = 4 * FILE_BYTES


class _Sources(BlobPort):
    """The peers that have the file, by key. `asked` counts the requests to each for its bytes, chunk lists apart."""

    def __init__(self, servers: Mapping[bytes, BlobServer], file: bytes) -> None:
        self._servers = servers
        self._file = file
        self.asked: Counter[bytes] = Counter()

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        """See the port."""
        self.asked[peer] += sha256 == self._file
        try:
            return await self._servers[peer].read(sha256, offset, length)
        except BlobRefused as refused:
            raise AskError(refused.status.word) from None


def play_download(liars: int, sources: int, seed: int) -> tuple[int, list[str]]:
    """Fetch a file from `sources` peers, of which the first `liars` serve false chunks. Blocks.

    Returns how many liars were dropped at their first chunk, and sentences about what went wrong.
    """
    with TemporaryDirectory(prefix="p2pverify-book-") as folder:
        data = hashlib.shake_256(b"download %d" % seed).digest(FILE_BYTES)
        path = Path(folder) / "file"
        path.write_bytes(data)
        kept = BlobStore(Path(folder) / "kept", _QUOTA)
        entry = kept.register(path).entry("file")
        named = {entry.sha256: entry}
        keys = [sha256(b"source %d" % number) for number in range(sources)]
        servers = {
            key: (InventingServer if number < liars else BlobServer)(kept, lambda: named)
            for number, key in enumerate(keys)
        }
        port = _Sources(servers, entry.sha256)
        fetcher = BlobFetcher(port, BlobStore(Path(folder) / "fetched", _QUOTA), lambda: named)
        try:
            fetched = trio.run(fetcher.fetch, entry, keys)
        except UserError as error:
            return 0, [f"the file was not fetched: {error.reason}"]
        broken = [] if fetched.read_bytes() == data else ["the fetched file is not exact"]
        if fetcher.counters["blobs_false"] != liars:
            broken.append(f"{fetcher.counters['blobs_false']} false chunks were counted, of {liars} liars")
        return sum(port.asked[key] == 1 for key in keys[:liars]), broken
