"""Sync, /p2pverify/sync/3, makes record sets equal: sessions with the neighbours in turn, and answers to theirs.

One stream is one session. The peer that opened it sends requests and the other answers, one frame each, in turn. Every
few seconds there is a session with the next neighbour. A new neighbour gets a session at once. The node defines the
content of requests and answers. Protocol page: protocol/sync.md.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.sync.messages import ANSWER_BYTES_MAX, REQUEST_BYTES_MAX
from p2pverify.core.sync.session import REQUESTS_MAX
from p2pverify.net.border.framing import LENGTH_BYTES, FrameTooLargeError, read_frame, write_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.node.ports import Inbox, SyncSessionPort

PROTOCOL = "/p2pverify/sync/3"
#: The time to encrypt and send one byte, measured.
SECONDS_PER_BYTE = 5e-8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """The limits of sync. Times are in seconds."""

    interval_s: float = 2.0
    sessions_max: int = 4  # of our own at once
    served_per_peer_max: int = 2
    answer_seconds_max: float = 20.0  # for one answer
    idle_seconds_max: float = 60.0  # without a new record in our session, or without a request in a served one


class SyncProtocol:
    """Fetches the records that we lack from neighbours, and serves them the records that they lack."""

    def __init__(self, inbox: Inbox, limits: SyncLimits, counters: Counters) -> None:
        self._inbox = inbox
        self._limits = limits
        self._counters = counters
        self._serving: dict[bytes, int] = {}
        self._fetching: set[bytes] = set()
        self._turn = trio.Lock()
        self._places = trio.CapacityLimiter(limits.sessions_max)

    # ------------------------------------------------------------ answering

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound session."""
        if self._serving.get(stream.peer, 0) >= self._limits.served_per_peer_max:
            raise RemoteProtocolError("too many sync streams at once")
        self._serving[stream.peer] = self._serving.get(stream.peer, 0) + 1
        try:
            with trio.fail_after(self._limits.idle_seconds_max):
                await stream.link.confirmed.wait()
            for _ in range(REQUESTS_MAX):
                if not await self._answer_one(stream):
                    return
            raise RemoteProtocolError("too many sync requests in a session")
        finally:
            self._serving[stream.peer] -= 1
            if not self._serving[stream.peer]:
                del self._serving[stream.peer]

    async def _answer_one(self, stream: Stream) -> bool:
        with trio.fail_after(self._limits.idle_seconds_max):
            request = await _read_request(stream)
            if request is None:
                return False
            async with self._turn:
                begin = trio.current_time()
                answer = self._inbox.sync_answer(request)
                spent = trio.current_time() - begin
                # All askers together get half of this loop's time: after each answer, the loop is free for as long as
                # it took.
                await trio.sleep(spent + len(answer) * SECONDS_PER_BYTE)
            await write_frame(stream, answer)
        self._counters.count("sync_requests_served")
        return True

    # ------------------------------------------------------------ asking

    async def run(self, neighbours: Callable[[], Sequence[Link]]) -> None:
        """At every interval, begin a session with the next neighbour, unless one with it is going on."""
        last = b""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self._limits.interval_s)
                links = sorted(neighbours(), key=lambda link: link.peer)
                links = [link for link in links if link.peer not in self._fetching]
                if links:
                    link = next((link for link in links if link.peer > last), links[0])
                    last = link.peer
                    nursery.start_soon(self.fetch, link)

    async def fetch(self, link: Link) -> None:
        """Make one session with a neighbour when a place is free, unless one is going on already.

        An error of the peer or of the link ends the session and is counted. Records that were taken before it stay.
        """
        if link.peer in self._fetching:
            return
        self._fetching.add(link.peer)
        try:
            async with self._places:
                await self._fetch(link)
        finally:
            self._fetching.discard(link.peer)

    async def _fetch(self, link: Link) -> None:
        session = self._inbox.sync_session(link.peer)
        try:
            async with await link.open_stream(PROTOCOL) as stream:
                await self._converse(stream, session)
            self._counters.count("sync_sessions_done")
            if session.is_complete:
                self._inbox.synced(link.peer)
        except RemoteProtocolError as error:
            if not isinstance(error, NotSupportedError):
                self._counters.count("sync_malformed")
                log.debug("a sync answer was refused: %s", error.reason)
        except (StreamBrokenError, trio.TooSlowError):
            self._counters.count("sync_failed")
        except Exception:  # a bug behind the port must not end the rounds
            self._counters.count("sync_errors")
            log.exception("a sync session failed")
        finally:
            session.release()
            self._counters.count("sync_records_taken", session.taken)

    async def _converse(self, stream: Stream, session: SyncSessionPort) -> None:
        taken = 0
        with trio.fail_after(self._limits.idle_seconds_max) as scope:
            await write_frame(stream, session.start())
            is_going_on = True
            while is_going_on:
                with trio.fail_after(self._limits.answer_seconds_max):
                    step = session.receive(await read_frame(stream, ANSWER_BYTES_MAX))
                    is_going_on = step.request is not None
                    if step.request is not None:  # the peer works on the next answer meanwhile
                        await write_frame(stream, step.request)
                await self._inbox.take_records(step.records, stream.peer)
                if session.taken > taken:
                    taken = session.taken
                    scope.deadline = trio.current_time() + self._limits.idle_seconds_max
            session.end()


async def _read_request(stream: Stream) -> bytes | None:
    """The next request, or None if the peer has ended the stream. Raises FrameTooLargeError, StreamBrokenError."""
    head = await stream.read_some(LENGTH_BYTES)
    if not head:
        return None
    head += await stream.read_exact(LENGTH_BYTES - len(head))
    size = int.from_bytes(head, "big")
    if size > REQUEST_BYTES_MAX:
        raise FrameTooLargeError(f"a frame of {size} bytes, and {REQUEST_BYTES_MAX} are allowed")
    return await stream.read_exact(size)
