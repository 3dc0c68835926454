"""Fetches a file from several peers at once, chunk by chunk, and believes none of them.

Every chunk is held against the chunk list, and the list against the release. A peer that sends one false chunk is asked
for nothing more. What was fetched before an interruption is not fetched again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from p2pverify.core.blobs.chunks import ChunkList, chunk_bytes, list_bytes, read_chunk_list
from p2pverify.core.blobs.messages import PIECE_BYTES_MAX
from p2pverify.core.blobs.plan import ChunkPlan, SourceFault
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.node.blobs.ports import Allowed, BlobKeeper, PartialBlob
from p2pverify.node.ports import AskError, BlobPort
from p2pverify.node.user_error import UserError

#: For one piece of at most 1 MiB, dialling included.
PIECE_SECONDS_MAX = 30.0
_FAULTS = {
    **dict.fromkeys(("unknown", "not-served", "beyond", "unsupported"), SourceFault.MISSING),
    **dict.fromkeys(("busy", "unconfirmed"), SourceFault.BUSY),
    **dict.fromkeys(("malformed", "too-large"), SourceFault.FALSE),
}
#: The counter of each fault, and what people are told of a peer that was dropped for it.
_TOLD = {
    SourceFault.FALSE: ("blobs_false", "sent false bytes"),
    SourceFault.MISSING: ("blobs_missing", "without the file"),
    SourceFault.BUSY: ("blobs_busy", "too busy"),
    SourceFault.FAILED: ("blobs_failed", "out of reach"),
}
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
                raise FetchError(f"{left}: {_told({**ended, **plan.ended()})}", _AGAIN)
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
        await _Download(self._port, entry.chunks, plan, lambda _: (0, length), take, self.counters).run()
        if not plan.is_done:
            raise FetchError(f"no peer sent the chunk list of {entry.path}: {_told(plan.ended())}", _AGAIN)
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
        await _Download(self._port, entry.sha256, plan, chunks.span, part.write, self.counters, took).run()


class _Download:
    """The chunks of a plan, of one blob. `span` says where a chunk is, and `write` takes it unless it is false.

    `took` is called after each chunk.
    """

    def __init__(
        self,
        port: BlobPort,
        sha256: bytes,
        plan: ChunkPlan,
        span: Callable[[int], tuple[int, int]],
        write: Callable[[int, bytes], bool],
        counters: Counters,
        took: Callable[[], None] = lambda: None,
    ) -> None:
        self._port = port
        self._sha256 = sha256
        self._plan = plan
        self._span = span
        self._write = write
        self._counters = counters
        self._took = took
        self._changed = trio.Event()
        self._asking: dict[bytes, trio.CancelScope] = {}
        self._failure: UserError | None = None

    async def run(self) -> None:
        """Ask until nothing is missing, or no source is left. Raises UserError if a chunk cannot be written."""
        running: set[bytes] = set()
        async with trio.open_nursery() as nursery:
            while not self._plan.is_done and self._failure is None and (active := self._plan.active()):
                for source in active:
                    if source not in running:
                        running.add(source)
                        nursery.start_soon(self._work, source)
                await self._changed.wait()
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _work(self, source: bytes) -> None:
        plan = self._plan
        while source not in plan.ended() and not plan.is_done:
            changed, now_ms = self._changed, _now_ms()
            chunk = plan.next(source, now_ms)
            if chunk is None:
                wait_ms = plan.wait_ms(source, now_ms)
                with trio.move_on_after(float("inf") if wait_ms is None else wait_ms / 1000):
                    await changed.wait()
                continue
            with trio.CancelScope() as scope:
                self._asking[source] = scope
                await self._ask(source, chunk)
            if scope.cancelled_caught:
                plan.forgone(source, chunk)
            self._changed.set()
            self._changed = trio.Event()

    async def _ask(self, source: bytes, chunk: int) -> None:
        """Ask one source for one chunk, and take it."""
        try:
            data = await self._pieces(source, *self._span(chunk))
            fault = None if await trio.to_thread.run_sync(self._write, chunk, data) else SourceFault.FALSE
        except AskError as error:
            log.debug("%s did not send chunk %d: %s", peer_id(source), chunk, error.detail)
            fault = _FAULTS.get(error.reason, SourceFault.FAILED)
        except trio.TooSlowError:
            fault = SourceFault.FAILED
        except UserError as error:
            self._failure = error  # our own disk ends the download
            self._plan.forgone(source, chunk)
            return
        if fault is None:
            for other in self._plan.delivered(source, chunk):
                self._asking[other].cancel()
            self._took()
            return
        self._counters.count(_TOLD[fault][0])
        if fault is SourceFault.FALSE:
            log.warning("%s sent a false chunk, and is asked for nothing more", peer_id(source))
        self._plan.dropped(source, chunk, fault, _now_ms())

    async def _pieces(self, source: bytes, offset: int, length: int) -> bytes:
        """Bytes from one source, piece by piece. Raises AskError, TooSlowError."""
        data = b""
        for at in range(offset, offset + length, PIECE_BYTES_MAX):
            with trio.fail_after(PIECE_SECONDS_MAX):
                size = min(PIECE_BYTES_MAX, offset + length - at)
                piece = await self._port.fetch_blob(source, self._sha256, at, size)
            self._counters.count("blobs_fetched_bytes", len(piece))
            data += piece
        return data


def _told(ended: Mapping[bytes, SourceFault]) -> str:
    """What became of the sources, for people."""
    counts = Counter(ended.values())
    told = [f"{counts[fault]} {text}" for fault, (_, text) in _TOLD.items() if counts[fault]]
    return "of the peers asked, " + ", ".join(told) if told else "there is no peer to ask"


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
