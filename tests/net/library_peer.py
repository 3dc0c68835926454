"""A process with a peer made of py-libp2p alone: its host, identify, ping and gossipsub.

Usage: python -m tests.net.library_peer ADDRESS TOPIC. Prints a line per thing that worked.
"""

import logging
import os
import sys

import libp2p
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.host.ping import PingService
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]


async def main(address: str, topic: str) -> None:
    keys = create_new_key_pair(b"\x05" * 32)
    noise = Transport(keys, noise_privkey=create_noise_key_pair().private_key)
    host = libp2p.new_host(key_pair=keys, listen_addrs=LISTEN, sec_opt={NOISE: noise}, muxer_opt={YAMUX: Yamux})
    router = GossipSub([PROTOCOL_ID_V11], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(host, router, strict_signing=False)
    async with (
        host.run(listen_addrs=LISTEN),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        subscription = await pubsub.subscribe(topic)
        other = info_from_p2p_addr(Multiaddr(address))
        await host.connect(other)
        print("pings", len(await PingService(host).ping(other.peer_id, 2)), flush=True)
        print("message", (await subscription.get()).data.decode(), flush=True)
        print("protocols", *host.get_peerstore().get_protocols(other.peer_id), flush=True)
        # The library's own shutdown raises while traffic flows, and its threads outlive it.
        os._exit(0)


logging.disable(logging.CRITICAL)
trio.run(main, *sys.argv[1:])
