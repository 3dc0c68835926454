"""Fetches a file from several peers at once, chunk by chunk, and believes none of them.

Every chunk is held against the chunk list, and the list against the release. A peer that sends one false chunk is asked
for nothing more. What was fetched before an interruption is not fetched again.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from p2pverify.core.blobs.chunks import ChunkList, chunk_bytes, list_bytes, read_chunk_list
from p2pverify.core.blobs.messages import PIECE_BYTES_MAX
from p2pverify.core.blobs.plan import ChunkPlan, SourceFault
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.node.blobs.download import Download, told
from p2pverify.node.blobs.ports import Allowed, BlobKeeper, PartialBlob
from p2pverify.node.ports import BlobPort
from p2pverify.node.user_error import UserError

#: For one piece of at most 1 MiB, dialling included.
PIECE_SECONDS_MAX = 30.0
_AGAIN = (
    "try again later: fetched chunks are kept; or copy the file to this machine by other means, and name it with "
    "'p2pverify model add FILE'"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlobProgress:
    """How far a download is: bytes that are here and checked, bytes of the file, and peers that are asked now.

    `done` can be less than the truth by one chunk until the file is whole.
    """

    done: int
    total: int
    sources: int


ReportProgress = Callable[[BlobProgress], None]


class FetchError(UserError):
    """A file could not be fetched. `reason` says why, and `hint` what to do."""


def unreported(_progress: BlobProgress) -> None:
    """The `ReportProgress` of a caller that only wants the file."""


class BlobFetcher:
    """Fetches files that `allowed` names, over `port` into `keeper`."""

    def __init__(self, port: BlobPort, keeper: BlobKeeper, allowed: Allowed, counters: Counters | None = None) -> None:
        self._port = port
        self._keeper = keeper
        self._allowed = allowed
        self.counters = Counters() if counters is None else counters

    async def fetch(
        self, entry: FileEntry, peers: Sequence[bytes], *, pin: bool = True, progress: ReportProgress = unreported
    ) -> Path:
        """The place of the whole, verified file. Asks these peers (keys), in this order, four at a time.

        A file that is here already is not fetched. Cancelling keeps the chunks. Raises FetchError, and UserError if the
        disk does not take the file.
        """
        named = self._allowed().get(entry.sha256)
        if named is None or (named.size, named.chunks) != (entry.size, entry.chunks):
            raise FetchError(
                f"{entry.path} (SHA-256 {entry.sha256.hex()}) is not fetched: no counted release names it",
                "wait until the release is in a certified cut; 'p2pverify status' shows the newest one",
            )
        here = await trio.to_thread.run_sync(self._keeper.path, entry.sha256)
        if here is None:
            here = await self._fetch(entry, list(dict.fromkeys(peers)), progress, pin=pin)
        elif pin:
            await trio.to_thread.run_sync(self._keeper.pin, entry.sha256)
        return here

    async def _fetch(self, entry: FileEntry, peers: list[bytes], progress: ReportProgress, *, pin: bool) -> Path:
        chunks, ended = await self._chunk_list(entry, peers)
        part = await trio.to_thread.run_sync(lambda: self._keeper.begin(entry, chunks, pin=pin))
        try:
            plan = ChunkPlan(part.missing, [peer for peer in peers if peer not in ended])
            await self._fill(part, entry, chunks, plan, progress)
            if not plan.is_done:
                left = f"{plan.left} of {len(chunks.hashes)} chunks of {entry.path} are missing"
                raise FetchError(f"{left}: {told({**ended, **plan.ended()})}", _AGAIN)
            path = await trio.to_thread.run_sync(part.finish)
        finally:
            part.close()
        self.counters.count("blobs_fetched")
        return path

    async def _chunk_list(self, entry: FileEntry, peers: list[bytes]) -> tuple[ChunkList, Mapping[bytes, SourceFault]]:
        """The list of a file, kept or fetched, and the peers that are asked for nothing more."""
        kept = await trio.to_thread.run_sync(self._keeper.chunk_list, entry.sha256)
        if kept is not None:
            try:
                return read_chunk_list(entry, kept), {}
            except DecodeError:
                log.warning("the kept chunk list of %s is damaged; it is fetched again", entry.path)
        found: list[ChunkList] = []

        def take(_chunk: int, data: bytes) -> bool:
            try:
                found.append(read_chunk_list(entry, data))
            except DecodeError:
                return False
            return True

        plan = ChunkPlan([0], peers)
        length = list_bytes(entry.size)
        ask = partial(self._pieces, entry.chunks, lambda _: (0, length))
        await Download(plan, ask, take, self.counters).run()
        if not plan.is_done:
            raise FetchError(f"no peer sent the chunk list of {entry.path}: {told(plan.ended())}", _AGAIN)
        return found[0], plan.ended()

    async def _fill(
        self, part: PartialBlob, entry: FileEntry, chunks: ChunkList, plan: ChunkPlan, progress: ReportProgress
    ) -> None:
        self.counters.count("blobs_chunks_kept", len(chunks.hashes) - plan.left)

        def tell() -> None:
            done = max(0, entry.size - plan.left * chunk_bytes(entry.size))
            progress(BlobProgress(done, entry.size, len(plan.active())))

        def took() -> None:
            self.counters.count("blobs_chunks_fetched")
            tell()

        tell()
        ask = partial(self._pieces, entry.sha256, chunks.span)
        await Download(plan, ask, part.write, self.counters, took).run()

    async def _pieces(self, sha256: bytes, span: Callable[[int], tuple[int, int]], source: bytes, chunk: int) -> bytes:
        """A chunk of a blob from one source, piece by piece. Raises AskError, TooSlowError."""
        offset, length = span(chunk)
        data = b""
        for at in range(offset, offset + length, PIECE_BYTES_MAX):
            with trio.fail_after(PIECE_SECONDS_MAX):
                size = min(PIECE_BYTES_MAX, offset + length - at)
                piece = await self._port.fetch_blob(source, sha256, at, size)
            self.counters.count("blobs_fetched_bytes", len(piece))
            data += piece
        return data
