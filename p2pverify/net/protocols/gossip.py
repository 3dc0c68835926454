"""Runs the gossip router on real streams: gives it events, carries out its effects, and wakes it.

Each link has one outgoing stream, written from a bounded queue, and at most one incoming stream. Frames that are queued
at the time of a write are written together. The router (`core.gossip.router`) decides everything.
"""

import logging
from collections import deque
from collections.abc import Callable

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipVerdict, RemoteProtocolError
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import (
    OLD_PROTOCOL_ID,
    PROTOCOL_ID,
    RPC_BYTES_MAX,
    Deliver,
    Disconnect,
    Event,
    Exclude,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    RpcMalformed,
    RpcReceived,
    SendRpc,
    Subscribe,
)
from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.read_rate import ReadRate
from p2pverify.net.protocols.rpc_codec import Parts, RpcDecoder, encode_rpc

QUEUE_BYTES_MAX = 4 * 1024 * 1024
WRITE_BYTES_MAX = 256 * 1024  # of one write; a larger frame is written alone
GREETING_SECONDS_MAX = 15.0
REOPENINGS_MAX = 5

log = logging.getLogger(__name__)


class _Outgoing:
    """Encoded frames that wait for the writer of one peer."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.reading = False
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._filled = trio.Event()

    def put_nowait(self, frame: bytes) -> bool:
        """Queue a frame; False if there is no room."""
        if self._size + len(frame) > QUEUE_BYTES_MAX:
            return False
        self._frames.append(frame)
        self._size += len(frame)
        self._filled.set()
        return True

    async def take(self) -> bytes:
        """Wait for frames, and return as many as one write should hold."""
        await self._filled.wait()
        batch = [self._frames.popleft()]
        size = len(batch[0])
        while self._frames and size + len(self._frames[0]) <= WRITE_BYTES_MAX:
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        self._size -= size
        if not self._frames:
            self._filled = trio.Event()
        return b"".join(batch)


class _Frames:
    """The frames of the RPCs that follow from one event. An RPC or a message to several peers is encoded once."""

    def __init__(self) -> None:
        self._frames: dict[int, tuple[Rpc, bytes]] = {}  # holds the RPC, so that no other object gets its id()
        self._parts: Parts = {}

    def of(self, rpc: Rpc) -> bytes:
        known = self._frames.get(id(rpc))
        if known is None:
            known = self._frames[id(rpc)] = (rpc, varint_frame(encode_rpc(rpc, self._parts)))
        return known[1]


async def _open(link: Link) -> tuple[str, Stream]:
    """Open an outgoing stream by the newest protocol that the peer speaks. Raises NotSupportedError if it has none."""
    try:
        return PROTOCOL_ID, await link.open_stream(PROTOCOL_ID)
    except NotSupportedError:
        return OLD_PROTOCOL_ID, await link.open_stream(OLD_PROTOCOL_ID)


class Gossip:
    """Drives one router on one topic.

    `judge` and `disconnect` are called by the task that received a frame. `changed` is called once a peer is ready for
    gossip.
    """

    def __init__(
        self,
        router: Router,
        topic: str,
        counters: Counters,
        *,
        judge: Callable[[bytes, bytes], GossipVerdict],
        disconnect: Callable[[bytes, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._router = router
        self._topic = topic
        self._counters = counters
        self._judge = judge
        self._disconnect = disconnect
        self._changed = changed
        self._decoder = RpcDecoder()
        self._outgoing: dict[bytes, _Outgoing] = {}
        self._woken = trio.Event()
        self._wakeup_ms = 0

    def publish_nowait(self, data: bytes) -> None:
        """Hand one message to the router. Raises LocalProtocolError if it is beyond the router's limits."""
        self._handle(PublishMessage(self._topic, data))

    def exclude(self, peers: frozenset[bytes]) -> None:
        """Keep exactly these peers out of our mesh. Raises LocalProtocolError if there are too many."""
        self._handle(Exclude(peers))

    def mesh(self) -> frozenset[bytes]:
        return frozenset(self._router.mesh_peers(self._topic))

    def statistics(self) -> dict[str, int]:
        return self._router.statistics()

    async def run(self) -> None:
        """Subscribe, and send the router a tick whenever it wants one."""
        self._handle(Subscribe(self._topic))
        while True:
            self._woken = trio.Event()
            self._wakeup_ms = self._router.next_wakeup_ms()
            with trio.move_on_at(self._wakeup_ms / 1000) as scope:
                await self._woken.wait()
            if scope.cancelled_caught:
                self._handle(GossipTick())

    async def speak(self, link: Link) -> None:
        """Keep an outgoing stream to a peer while its link is open. A peer without gossip gets none."""
        for attempt in range(REOPENINGS_MAX):
            try:
                protocol, opened = await _open(link)
                async with opened as stream:
                    await self._write_all(link, stream, hears_idontwant=protocol == PROTOCOL_ID)
            except NotSupportedError:
                self._counters.count("gossip_not_supported")
                return
            except StreamBrokenError as error:
                log.debug("a gossip stream broke: %s", error)
            self._counters.count("gossip_streams_reopened")
            await trio.sleep(2**attempt)
        link.close_nowait("its gossip streams keep breaking")

    async def listen(self, stream: Stream) -> None:
        """Read a peer's RPCs until it ends its stream. Malformed bytes reset the stream."""
        peer = stream.peer
        with trio.fail_after(GREETING_SECONDS_MAX):
            # The router must know a peer before it gets the peer's subscriptions.
            await stream.link.gossiping.wait()
        outgoing = self._outgoing.get(peer)
        if outgoing is None or outgoing.link is not stream.link or outgoing.reading:
            raise RemoteProtocolError("a second gossip stream of one connection")
        outgoing.reading = True
        pace = ReadRate()
        try:
            while (frame := await read_varint_frame(stream, RPC_BYTES_MAX)) is not None:
                if not await pace.keep(len(frame)):
                    self._counters.count("gossip_paced")
                self._handle(RpcReceived(peer, self._decoder.decode(frame)))
                if not stream.link.subscribed.is_set():
                    stream.link.subscribed.set()
                    self._changed()
                await trio.lowlevel.checkpoint()
        except RemoteProtocolError:
            self._counters.count("gossip_malformed")
            self._handle(RpcMalformed(peer))
            raise
        finally:
            outgoing.reading = False

    async def _write_all(self, link: Link, stream: Stream, *, hears_idontwant: bool) -> None:
        if link.peer in self._outgoing:
            self._handle(PeerDisconnected(link.peer))
        outgoing = self._outgoing[link.peer] = _Outgoing(link)
        failure = ""
        try:
            ip = link.remote[0] if link.remote else ""
            self._handle(PeerConnected(link.peer, link.outbound, ip, hears_idontwant))
            link.gossiping.set()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, stream, nursery.cancel_scope)
                while True:
                    await stream.write(await outgoing.take())
        except* StreamBrokenError as group:
            failure = str(group.exceptions[0])  # raised below, because an except* block raises only groups
        finally:
            if self._outgoing.get(link.peer) is outgoing:
                del self._outgoing[link.peer]
                self._handle(PeerDisconnected(link.peer))
        if failure:
            raise StreamBrokenError(failure)

    async def _watch(self, stream: Stream, scope: trio.CancelScope) -> None:
        """End the stream if the peer sends anything on it or ends it, because only this side writes to it."""
        await stream.read_some(1)
        scope.cancel()

    def _handle(self, event: Event) -> None:
        events: deque[Event] = deque((event,))
        now_ms = int(trio.current_time() * 1000)
        frames = _Frames()
        while events:
            for effect in self._router.handle(events.popleft(), now_ms):
                match effect:
                    case SendRpc(peer, rpc):
                        self._send(peer, frames.of(rpc))
                    case Deliver(_, data, message_id, source):
                        self._counters.count("gossip_delivered")
                        events.append(MessageVerdict(message_id, self._judged(data, source)))
                    case Disconnect(peer, reason):
                        self._counters.count("gossip_disconnects")
                        self._disconnect(peer, reason)
        if self._router.next_wakeup_ms() < self._wakeup_ms:
            self._woken.set()

    def _judged(self, data: bytes, source: bytes) -> GossipVerdict:
        try:
            return self._judge(data, source)
        except Exception:  # a bug behind the port must not end the stream of a peer that is not to blame
            self._counters.count("judge_errors")
            log.exception("judging a message failed")
            return GossipVerdict.IGNORE

    def _send(self, peer: bytes, frame: bytes) -> None:
        outgoing = self._outgoing.get(peer)
        if outgoing is None or not outgoing.put_nowait(frame):
            self._counters.count("gossip_rpcs_dropped")
