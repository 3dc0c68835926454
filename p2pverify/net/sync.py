"""What makes record sets equal, /p2pverify/sync/1: our frontier out, one page back, again while it helps.

One frame each way per stream. Every few seconds one neighbour, in turn, and at once each new one. What
frontiers and pages hold is the node's business. Protocol page: protocol/streams.md.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.net.counters import Counters
from p2pverify.net.framing import read_frame, write_frame
from p2pverify.net.link import Link
from p2pverify.net.negotiate import NotSupportedError
from p2pverify.net.stream import Stream, StreamBrokenError
from p2pverify.node.ports import Inbox

PROTOCOL = "/p2pverify/sync/1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """Sizes in bytes, times in seconds."""

    interval_s: float = 2.0
    frontier_bytes_max: int = 256 * 1024
    page_bytes_max: int = 1024 * 1024
    pages_per_round_max: int = 256
    page_seconds_max: float = 20.0
    served_per_peer_max: int = 2


class Sync:
    """Fetches what we lack from neighbours, and serves them what they lack."""

    def __init__(self, inbox: Inbox, limits: SyncLimits, counters: Counters) -> None:
        self._inbox = inbox
        self._limits = limits
        self._counters = counters
        self._serving: dict[bytes, int] = {}
        self._fetching: set[bytes] = set()

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream."""
        if self._serving.get(stream.peer, 0) >= self._limits.served_per_peer_max:
            raise RemoteProtocolError("too many sync streams at once")
        self._serving[stream.peer] = self._serving.get(stream.peer, 0) + 1
        try:
            with trio.fail_after(self._limits.page_seconds_max):
                await stream.link.confirmed.wait()
                frontier = await read_frame(stream, self._limits.frontier_bytes_max)
                page = self._inbox.sync_page(frontier)
                assert len(page) <= self._limits.page_bytes_max
                await write_frame(stream, page)
            self._counters.count("sync_pages_served")
        finally:
            self._serving[stream.peer] -= 1
            if not self._serving[stream.peer]:
                del self._serving[stream.peer]

    async def run(self, neighbours: Callable[[], Sequence[Link]]) -> None:
        """Every interval a round with the neighbour whose turn it is."""
        last = b""
        while True:
            await trio.sleep(self._limits.interval_s)
            links = sorted(neighbours(), key=lambda link: link.peer)
            if links:
                link = next((link for link in links if link.peer > last), links[0])
                last = link.peer
                await self.fetch(link)

    async def fetch(self, link: Link) -> int:
        """Fetch pages from one neighbour until it has no more that we lack; the number of pages.

        Faults of the peer or of the link end the round and are counted.
        """
        if link.peer in self._fetching:
            return 0
        self._fetching.add(link.peer)
        pages = 0
        try:
            more = True
            while more and pages < self._limits.pages_per_round_max:
                with trio.fail_after(self._limits.page_seconds_max):
                    page = await self._page(link)
                pages += 1
                self._counters.count("sync_pages_taken")
                more = self._inbox.take_page(page, link.peer)
        except RemoteProtocolError as error:
            if not isinstance(error, NotSupportedError):
                self._counters.count("sync_malformed")
                log.debug("a sync page was refused: %s", error.reason)
        except (StreamBrokenError, trio.TooSlowError):
            self._counters.count("sync_failed")
        except Exception:  # a bug behind the port must not end the rounds
            self._counters.count("sync_errors")
            log.exception("a sync round failed")
        finally:
            self._fetching.discard(link.peer)
        return pages

    async def _page(self, link: Link) -> bytes:
        async with await link.open_stream(PROTOCOL) as stream:
            await write_frame(stream, self._inbox.sync_frontier())
            return await read_frame(stream, self._limits.page_bytes_max)
