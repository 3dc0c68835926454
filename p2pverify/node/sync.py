"""The node's side of sync: sessions over the machine's ledger, and records taken without blocking the loop.

The records of a session go to the machine in slices, so that other work gets its turn between two slices. While the
disk cannot keep up, no more records are taken. The network adapter handles the streams.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.limits import BoundedDict
from p2pverify.core.sync.above import SyncContext
from p2pverify.core.sync.server import Sync
from p2pverify.core.sync.session import SyncSession

SLICE_SECONDS = 0.01
SLICE_RECORDS_MAX = 256
#: Neighbours of which the newest session is remembered.
SESSIONS_KEPT = 64

Take = Callable[[tuple[bytes, ...], bytes], object]


class CatchUp:
    """Sync for one driver. `take` gives records to the machine; `wait_room` waits until the disk keeps up."""

    def __init__(self, context: SyncContext, take: Take, wait_room: Callable[[], Awaitable[None]]) -> None:
        self._sync = Sync(context)
        self._take = take
        self._wait_room = wait_room
        self._slice = 8
        self._counters = Counters()
        self._sessions: BoundedDict[bytes, SyncSession] = BoundedDict(SESSIONS_KEPT)  # the newest with each neighbour

    @property
    def gone(self) -> int:
        """How many neighbours have forgotten all cuts that this peer knows, by the newest session with each."""
        return sum(session.is_gone for session in self._sessions.values())

    def answer(self, request: bytes) -> bytes:
        """The answer to a neighbour's request. Raises RemoteProtocolError."""
        try:
            answer = self._sync.answer(request)
        except RemoteProtocolError:
            self._counters.count("sync requests refused")
            raise
        self._counters.count("sync requests answered")
        return answer

    def session(self, peer: bytes) -> SyncSession:
        """A new session with a neighbour."""
        self._counters.count("sync sessions")
        self._sessions[peer] = session = self._sync.session(peer)
        return session

    async def take_records(self, records: Sequence[bytes], source: bytes) -> None:
        """Give all records to the machine in order, in slices of about SLICE_SECONDS each."""
        at = 0
        while at < len(records):
            await self._wait_room()
            batch = tuple(records[at : at + self._slice])
            begin = time.perf_counter()
            self._take(batch, source)
            spent = time.perf_counter() - begin
            at += len(batch)
            if len(batch) == self._slice:
                fitting = int(self._slice * SLICE_SECONDS / max(spent, 1e-6))
                self._slice = max(1, min(fitting, 2 * self._slice, SLICE_RECORDS_MAX))
            await trio.lowlevel.checkpoint()

    def statistics(self) -> dict[str, int]:
        return {**self._counters, **self._sync.statistics(), "neighbours without a common cut": self.gone}
