"""A gossipsub peer of py-libp2p alone on one topic. Usage: python -m tests.interop.library_peer TOPIC

Reads a command per line from its input and writes an event per line, both as JSON; ends with its input. What they
mean is written in `others`. The library knows neither StrictNoSign nor ids made from content; what that takes
is in `Unsigned`, `ContentCache` and `ContentRouter`, and nothing else of it is changed.
"""

import hashlib
import json
import logging
import os
import sys
from typing import Any

import cbor2
import libp2p
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.host.ping import PingService
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
LOOK_S = 0.02


def content_id(message: rpc_pb2.Message) -> bytes:
    return hashlib.sha256(message.data).digest()


class Unsigned(Pubsub):
    """Publishes without `from` and `seqno`, which the library always sets."""

    async def publish(self, topic_id: str, data: bytes) -> None:
        await self.push_msg(self.my_id, rpc_pb2.Message(data=data, topicIDs=[topic_id]))


class ContentCache(MessageCache):
    """Keeps messages by their content. The library's own cache uses `from` and `seqno`."""

    def put(self, msg: rpc_pb2.Message) -> None:
        mid = content_id(msg)
        if mid not in self.msgs:
            self.msgs[mid] = msg
            self.history[0].append(CacheEntry(mid, msg.topicIDs))


class ContentRouter(GossipSub):
    """Accepts messages without `from` and `seqno` as no equivocation, and reports leaving peers."""

    def __init__(self) -> None:
        # The library's own rate limit silently drops messages.
        super().__init__(
            [PROTOCOL_ID_V11],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self.mcache = ContentCache(self.mcache.window_size, self.mcache.history_size)  # type: ignore[has-type]

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:
        return True

    def remove_peer(self, peer_id: ID) -> None:
        super().remove_peer(peer_id)
        tell("gone", peer=str(peer_id))


def tell(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


class Peer:
    """The library's host and pubsub, controlled by commands."""

    def __init__(self, topic: str) -> None:
        keys = create_new_key_pair(hashlib.sha256(b"a peer of the library").digest())
        noise = Transport(keys, noise_privkey=create_noise_key_pair().private_key)
        self.topic = topic
        self.host = libp2p.new_host(
            key_pair=keys, listen_addrs=LISTEN, sec_opt={NOISE: noise}, muxer_opt={YAMUX: Yamux}
        )
        self.router = ContentRouter()
        self.pubsub = Unsigned(self.host, self.router, strict_signing=False, msg_id_constructor=content_id)

    async def run(self) -> None:
        async with (
            self.host.run(listen_addrs=LISTEN),
            background_trio_service(self.pubsub),
            background_trio_service(self.router),
            trio.open_nursery() as nursery,
        ):
            await self.pubsub.wait_until_ready()
            subscription = await self.pubsub.subscribe(self.topic)
            tell("listening", address=str(self.host.get_addrs()[0]))
            nursery.start_soon(self._hear, subscription)
            nursery.start_soon(self._watch_mesh)
            async for line in self._lines():
                fields = json.loads(line)
                await getattr(self, fields.pop("command"))(**fields)
            # The library's own shutdown raises an error during traffic, and its threads continue after it.
            os._exit(0)

    async def dial(self, address: str) -> None:
        other = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(other)
        times = await PingService(self.host).ping(other.peer_id, 1)
        tell("pinged", peer=str(other.peer_id), ms=times[0])
        tell("identified", peer=str(other.peer_id), protocols=self.host.get_peerstore().get_protocols(other.peer_id))

    async def publish(self, data: str) -> None:
        await self.pubsub.publish(self.topic, bytes.fromhex(data))

    async def vector(self, file: str, place: int) -> None:
        cases = json.loads(await trio.Path(file).read_text(encoding="utf-8"))
        record = bytes.fromhex(cases[place]["input"]["record"])
        await self.pubsub.publish(self.topic, cbor2.dumps([record]))

    async def _hear(self, subscription: Any) -> None:
        while True:
            message = await subscription.get()
            tell("message", data=message.data.hex(), peer="")

    async def _watch_mesh(self) -> None:
        before: list[str] = []
        while True:
            peers = sorted(map(str, self.router.mesh.get(self.topic, ())))
            if peers != before:
                before = peers
                tell("mesh", peers=peers)
            await trio.sleep(LOOK_S)

    async def _lines(self) -> Any:
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as source:
            buffer = b""
            async for chunk in source:
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    yield line


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run(Peer(sys.argv[1]).run)
