"""A download from several sources at once, by a plan: each chunk of one source, checked before it is taken."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import trio

from p2pverify.core.blobs.plan import ChunkPlan, SourceFault
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.ports import AskError
from p2pverify.node.user_error import UserError

T = TypeVar("T")
_FAULTS = {
    **dict.fromkeys(("unknown", "not-served", "beyond", "unsupported"), SourceFault.MISSING),
    **dict.fromkeys(("busy", "unconfirmed"), SourceFault.BUSY),
    **dict.fromkeys(("malformed", "too-large"), SourceFault.FALSE),
}
#: The counter of each fault, for files.
BLOB_FAULTS = {
    SourceFault.FALSE: "blobs_false",
    SourceFault.MISSING: "blobs_missing",
    SourceFault.BUSY: "blobs_busy",
    SourceFault.FAILED: "blobs_failed",
}
#: What people are told of a peer that was dropped for a fault.
_TOLD = {
    SourceFault.FALSE: "sent false bytes",
    SourceFault.MISSING: "without {what}",
    SourceFault.BUSY: "too busy",
    SourceFault.FAILED: "out of reach",
}

log = logging.getLogger(__name__)


class Download(Generic[T]):
    """The chunks of a plan. `ask` fetches one chunk from one source, and `write` takes it unless it is false.

    `ask` may raise AskError and TooSlowError, and `write` runs in a thread. `took` is called after each chunk.
    `counted` names the counter of each fault.
    """

    def __init__(
        self,
        plan: ChunkPlan,
        ask: Callable[[bytes, int], Awaitable[T]],
        write: Callable[[int, T], bool],
        counters: Counters,
        took: Callable[[], None] = lambda: None,
        counted: Mapping[SourceFault, str] = BLOB_FAULTS,
    ) -> None:
        self._plan = plan
        self._fetch = ask
        self._write = write
        self._counters = counters
        self._took = took
        self._counted = counted
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
            data = await self._fetch(source, chunk)
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
        self._counters.count(self._counted[fault])
        if fault is SourceFault.FALSE:
            log.warning("%s sent a false chunk, and is asked for nothing more", peer_id(source))
        self._plan.dropped(source, chunk, fault, _now_ms())


def told(ended: Mapping[bytes, SourceFault], what: str = "the file") -> str:
    """What became of the sources, for people."""
    counts = Counter(ended.values())
    found = [f"{counts[fault]} {text.format(what=what)}" for fault, text in _TOLD.items() if counts[fault]]
    return "of the peers asked, " + ", ".join(found) if found else "there is no peer to ask"


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
