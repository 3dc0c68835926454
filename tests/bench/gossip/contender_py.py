"""Eight peers of py-libp2p with its stock router in one process, connected all to all. Prints the result as JSON.

    python -m tests.bench.gossip.contender_py MESSAGES UNDER_WAY

Not stock: heartbeats each second instead of each 120, messages without the library's own signatures, and no rate
limit, which would lose most of them.
"""

import dataclasses
import json
import logging
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256

import libp2p
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from tests.bench.gossip.workload import PEERS, Load, check

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
TOPIC = "bench"
LOOK_S = 0.05


class Peer:
    """One host with its pubsub."""

    def __init__(self, number: int) -> None:
        keys = create_new_key_pair(sha256(b"peer %d" % number).digest())
        noise = Transport(keys, noise_privkey=create_noise_key_pair().private_key)
        self.host = libp2p.new_host(
            key_pair=keys, listen_addrs=LISTEN, sec_opt={NOISE: noise}, muxer_opt={YAMUX: Yamux}
        )
        self.router = GossipSub(
            [PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            spam_protection_enabled=False,
        )
        self.pubsub = Pubsub(self.host, self.router, strict_signing=False)
        self.pubsub.set_topic_validator(TOPIC, self._judge, is_async_validator=False)
        self.outbox_send, self.outbox = trio.open_memory_channel[bytes](10_000)

    def _judge(self, forwarder: ID, message: rpc_pb2.Message) -> bool:
        return forwarder == self.host.get_id() or check(message.data)

    async def start(self, stack: AsyncExitStack, nursery: trio.Nursery) -> None:
        await stack.enter_async_context(self.host.run(listen_addrs=LISTEN))
        await stack.enter_async_context(background_trio_service(self.pubsub))
        await stack.enter_async_context(background_trio_service(self.router))
        await self.pubsub.wait_until_ready()
        self._subscription = await self.pubsub.subscribe(TOPIC)
        nursery.start_soon(self._publish)

    async def _publish(self) -> None:
        async for data in self.outbox:
            await self.pubsub.publish(TOPIC, data)

    async def hear(self, load: Load) -> None:
        own = self.host.get_id().to_bytes()
        while True:
            message = await self._subscription.get()
            if message.from_id != own:
                load.delivered(message.data)


async def main(count: int, under_way: int) -> None:
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        peers = [Peer(number) for number in range(PEERS)]
        for place, peer in enumerate(peers):
            await peer.start(stack, nursery)
            for other in peers[:place]:
                await peer.host.connect(info_from_p2p_addr(other.host.get_addrs()[0]))
        while any(len(peer.router.mesh.get(TOPIC, ())) < peer.router.degree_low for peer in peers):  # noqa: ASYNC110
            await trio.sleep(LOOK_S)
        load = Load(
            lambda place, data: peers[place].outbox_send.send_nowait(data), count, warm_up=20, under_way=under_way
        )
        for peer in peers:
            nursery.start_soon(partial(peer.hear, load))
        result = await load.run()
        print(json.dumps(dataclasses.asdict(result)), flush=True)
        os._exit(0)  # the library's own shutdown raises an error during traffic


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
