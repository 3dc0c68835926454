"""Circuits with js-libp2p: its relay serves us, and our relay serves its peers."""

from pathlib import Path

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.net.border.link import Link
from p2pverify.net.border.stream import Stream
from p2pverify.net.circuit.client import Circuits
from p2pverify.node.clock import unix_ms
from p2pverify.node.endpoints.address import parse_address
from tests.interop.others import circuit
from tests.net.real_peers import join, stranger

PATIENCE_S = 60
ECHO = "/p2pverify/echo/1"
BYTES = 20_000


async def _echo(stream: Stream) -> None:
    while data := await stream.read_some():
        await stream.write(data)


async def test_a_js_relay_serves_us(tmp_path: Path, nursery: trio.Nursery) -> None:
    """We reserve with a voucher that we understand. A js peer dials us through it, and we dial each other so too."""
    with trio.fail_after(PATIENCE_S):
        async with circuit("relay", tmp_path / "relay") as relay, circuit("client", tmp_path / "client") as client:
            host, other = await stranger(nursery, "behind"), await stranger(nursery, "asker")
            for each in (host, other):
                each.handle(ECHO, _echo)
            circuits, _ = Circuits(host, Counters()), Circuits(other, Counters())
            circuits.serve()
            address = parse_address(relay.address)
            link = await host.dial(address)
            expires_s = await circuits.reserve(link)
            assert expires_s > unix_ms() / 1000
            circuits.relays = {link.peer}

            through = address.through(host.peer)
            await client.say("dial", address=str(through))
            dialled = await client.wait("dialled", peer=peer_id(host.peer))
            assert dialled["limited"]
            await client.wait("pinged", peer=peer_id(host.peer))
            await client.say("echo", peer=peer_id(host.peer), bytes=BYTES)
            await client.wait("echoed", bytes=BYTES)

            ours = await other.dial(through)
            assert (ours.peer, ours.relay) == (host.peer, link.peer)
            assert await _echoed(ours) == BYTES


async def test_our_relay_serves_js_peers(tmp_path: Path, nursery: trio.Nursery) -> None:
    """One js peer is reached through it by another, and by us. They are strangers to our network."""
    with trio.fail_after(PATIENCE_S):
        relay = await join(nursery, "relay")
        behind_us = circuit("behind", tmp_path / "behind", relay.address)
        async with behind_us as behind, circuit("client", tmp_path / "client") as client:
            assert behind.address.startswith(f"{relay.address}/p2p-circuit")
            await client.say("dial", address=behind.address)
            assert (await client.wait("dialled", peer=behind.peer))["limited"]
            await client.wait("pinged", peer=behind.peer)
            await client.say("echo", peer=behind.peer, bytes=BYTES)
            await client.wait("echoed", bytes=BYTES)

            host = await stranger(nursery, "asker")
            Circuits(host, Counters())
            link = await host.dial(parse_address(behind.address, allow_relay=True))
            assert (link.peer, link.relay) == (key_of(behind.peer), relay.key)
            assert await _echoed(link) == BYTES
            assert key_of(behind.peer) in relay.mesh._reaching._server.reserved
    assert relay.count("relay_circuits") == 2


async def _echoed(link: Link) -> int:
    async with await link.open_stream(ECHO) as stream:
        await stream.write(bytes(BYTES))
        return len(await stream.read_exact(BYTES))
