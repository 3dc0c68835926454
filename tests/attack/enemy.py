"""The attackers: a raw TCP client, a libp2p host that misbehaves, and a confirmed neighbour.

They share only the transport with the victim, and break any protocol if an attack needs it.
"""

import hashlib
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.types import PROTOCOL_ID as GOSSIP
from p2pverify.core.gossip.types import GossipMessage, Rpc, records_topic
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.border.framing import varint_frame
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import encode_message
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.rpc_codec import encode_rpc
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.messages import encode_batches
from tests.attack.live import Node, until
from tests.net.real_peers import FakeInbox

GREETING = encode_message("/multistream/1.0.0")
LOCAL = "/ip4/127.0.0.1/tcp/0"

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def muxer_frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    """A frame of Yamux (hashicorp/yamux, spec.md), valid or not."""
    return struct.pack("!BBHII", 0, kind, flags, stream, length) + body


async def raw(node: Node) -> trio.SocketStream:
    """A TCP connection to the node, without any data."""
    address = parse_address(node.address)
    return await trio.open_tcp_stream(address.host, address.port)


async def drain(stream: trio.SocketStream) -> bytes:
    """The node's data until it closes the connection."""
    said = b""
    try:
        while chunk := await stream.receive_some():
            said += chunk
    except trio.BrokenResourceError:
        pass
    return said


async def read_all(stream: Stream) -> bytes | None:
    """The node's data until it ends the stream; None if it resets the stream."""
    said = b""
    try:
        while chunk := await stream.read_some():
            said += chunk
    except StreamBrokenError:
        return None
    return said


@dataclass
class Stranger:
    """One connection of a host with libp2p and none of our protocols."""

    host: Host
    link: Link

    async def send_frames(self, data: bytes) -> None:
        """Send bytes directly to the other side's muxer, between the own frames."""
        async with self.link._muxer._write_lock:
            await self.link._muxer.secured_conn.write(data)

    def stop_reading(self) -> None:
        """Read nothing more from the connection, but keep it open."""

        async def read_nothing(size: int | None = None) -> bytes:
            await trio.sleep_forever()
            return b""

        self.link._muxer.secured_conn.wire.read = read_nothing


async def connect(nursery: trio.Nursery, node: Node, name: str) -> Stranger:
    """Connect as a host that accepts the node's gossip stream and sends nothing on it. Raises DialError."""
    host = Host(hashlib.sha256(name.encode()).digest(), [LOCAL], Counters())

    async def swallow(stream: Stream) -> None:
        while await stream.read_some():
            pass

    async def attend(link: Link) -> None:
        await trio.sleep_forever()

    host.handle(GOSSIP, swallow)
    nursery.start_soon(host.run, host.listen(), attend, lambda link: None)
    return Stranger(host, await host.dial(parse_address(node.address)))


@asynccontextmanager
async def stranger(node: Node, name: str = "mallory") -> AsyncIterator[Stranger]:
    """Such a host for the length of the block."""
    async with trio.open_nursery() as nursery:
        yield await connect(nursery, node, name)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def insider(node: Node, name: str = "mallory") -> AsyncIterator[tuple[Libp2pNetwork, Link]]:
    """Join the node's network as a peer that accepts its requests and sync streams."""
    seed = hashlib.sha256(name.encode()).digest()
    mesh = Libp2pNetwork(seed, node.context.network_id, [LOCAL], (node.address,), FakeInbox(GossipVerdict.IGNORE))
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        await mesh.wait_connected(node.key)
        link = mesh._host.link(node.key)
        assert link is not None
        yield mesh, link
        nursery.cancel_scope.cancel()


class Gossiper:
    """An attacker's gossip stream and its messages."""

    def __init__(self, node: Node, who: Stranger, stream: Stream) -> None:
        self.topic = records_topic(node.context.network_id)
        self.stranger = who
        self.stream = stream
        self._node = node

    encode = staticmethod(encode_rpc)

    async def say(self, rpc: Rpc) -> None:
        await self.stream.write(varint_frame(encode_rpc(rpc)))

    async def publish(self, *messages: bytes) -> None:
        """Send all messages in one frame."""
        await self.say(Rpc(publish=tuple(GossipMessage(self.topic, message) for message in messages)))

    async def publish_records(self, records: Iterable[bytes]) -> None:
        """Send records in batches, one per frame, as in the protocol."""
        for message in encode_batches(records):
            await self.publish(message)

    async def join_mesh(self) -> None:
        """Subscribe and be grafted, so that the node forwards accepted messages."""
        await self.say(Rpc(subscriptions=((True, self.topic),), graft=(self.topic,)))
        await until(lambda: self.stranger.host.peer in self._node.mesh._gossip.mesh(), "mallory is in the mesh")

    async def wait_shut_out(self) -> None:
        """Wait until the node reads nothing more from this peer, or ends the connection."""
        closed, count = self.stranger.link.closed, self._node.count
        await until(lambda: closed.is_set() or count("net router_rpcs_graylisted") > 0, "mallory is shut out")

    async def wait_end(self) -> None:
        """Wait until the node has ended the stream."""
        while await read_all(self.stream):
            pass


@asynccontextmanager
async def gossiper(node: Node, name: str = "mallory") -> AsyncIterator[Gossiper]:
    """An attacker's gossip stream. It is no error here if the node breaks the stream."""
    async with stranger(node, name) as who:
        stream = await who.link.open_stream(GOSSIP)
        yield Gossiper(node, who, stream)
        await stream.reset()
