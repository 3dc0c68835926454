"""Peers that listen nowhere are asked through relays, which see and decide as little as possible."""

import pytest
import trio

from p2pverify.core.encoding.sign import public_key
from p2pverify.net import adapter
from p2pverify.net.border.framing import read_varint_frame, varint_frame
from p2pverify.net.border.host import DialError
from p2pverify.net.circuit.client import RelayRefusedError
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    CircuitStatus,
    HopRequest,
    decode_hop_answer,
    encode_hop_request,
)
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.net.reach import relays
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import AskError
from tests.net.real_peers import NETWORK, join, seed_of


async def wait_relays(peer, count):
    """Until a peer is reached through so many relays."""
    while len(peer.mesh.reach().relays) != count:
        await trio.lowlevel.checkpoint()


async def wait_known(peer, other, count):
    """Until a peer knows another at so many addresses through relays."""
    while sum(address.relay is not None for address in peer.mesh._peers._book.addresses(other.key)) != count:
        await trio.lowlevel.checkpoint()


async def test_a_hidden_peer_is_asked_through_a_relay(nursery, monkeypatch):
    """Two peers that listen nowhere reach each other. The time of the answer says nothing of the peer's speed."""
    monkeypatch.setattr(adapter, "CIRCUIT_IDLE_SECONDS", 0.3)
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        hidden = await join(nursery, "hidden", relay.address, listen=())
        asker = await join(nursery, "asker", relay.address, listen=())
        await wait_relays(hidden, 1)
        await wait_known(asker, hidden, 1)
        assert hidden.mesh.addresses() == (f"{relay.address}/p2p-circuit/p2p/{_id(hidden)}",)
        reply = await asker.mesh.ask(hidden.key, b"through")
        assert (reply.data, reply.relayed) == (b"echo through", True)
        link = asker.mesh._host.link(hidden.key)
        assert link.relay == relay.key
        assert hidden.mesh.neighbours()[0].peer == relay.key  # a circuit is no neighbour
        assert len(hidden.mesh.neighbours()) == 1
        await link.closed.wait()  # nobody uses it any more
        assert (await asker.mesh.ask(hidden.key, b"again")).data == b"echo again"
    assert relay.count("relay_circuits") == 2
    assert relay.mesh.reach().serves == 2
    assert (hidden.mesh.reach().state, relay.mesh.reach().state) == ("relayed", "unknown")
    assert asker.count("circuits_opened") == 2


def _id(peer):
    return peer.mesh.reach().relays[0].rpartition("/")[2]


async def test_a_direct_connection_replaces_a_circuit(nursery):
    """It is preferred on both sides, whoever dialled which, and requests go over it."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        hidden = await join(nursery, "hidden", relay.address, listen=())
        asker = await join(nursery, "asker", relay.address, listen=())
        await wait_known(asker, hidden, 1)
        await asker.mesh.ask(hidden.key, b"through")
        opened = await join(nursery, "other", relay.address)
        await opened.mesh.wait_connected(hidden.key)
        address = parse_address(hidden.mesh.reach().relays[0], allow_relay=True)
        again = await opened.mesh._host.dial(address)
        assert again.relay is None
        direct = opened.mesh._host.link(hidden.key)
        assert direct is again


async def test_two_relays_and_one_that_dies(nursery):
    """A hidden peer reserves at two relays. After one has gone, it is reached through the other, and takes a third."""
    with trio.fail_after(90):
        first = await join(nursery, "relay 1")
        others = [await join(nursery, f"relay {n}", first.address) for n in (2, 3)]
        hidden = await join(nursery, "hidden", first.address, listen=())
        asker = await join(nursery, "asker", first.address, listen=())
        for peer in (first, *others):
            await hidden.mesh.wait_connected(peer.key)
            await asker.mesh.wait_connected(peer.key)
        await wait_relays(hidden, relays.RELAYS_WANTED)
        await wait_known(asker, hidden, relays.RELAYS_WANTED)
        used = [text.split("/p2p/")[1].split("/")[0] for text in hidden.mesh.reach().relays]
        gone = next(peer for peer in (first, *others) if peer.address.endswith(used[0]))
        await gone.leave()
        assert (await asker.mesh.ask(hidden.key, b"still there?")).data == b"echo still there?"
        while gone.address in str(hidden.mesh.reach().relays) or len(hidden.mesh.reach().relays) < 2:
            await trio.lowlevel.checkpoint()


async def test_a_reservation_is_made_anew_after_a_reconnect(nursery):
    """The relay restarts on its port, and the hidden peer reserves again."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        hidden = await join(nursery, "hidden", relay.address, listen=())
        await wait_relays(hidden, 1)
        await relay.leave()
        await wait_relays(hidden, 0)
        assert hidden.mesh.reach().state == "unreachable"
        again = await join(nursery, "relay", listen=relay.address.partition("/p2p/")[0])
        await wait_relays(hidden, 1)
        assert again.mesh.reach().serves == 1


async def test_no_circuit_over_a_circuit(nursery):
    """A peer that is itself behind a relay is no relay, even if an address says so."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        hidden = await join(nursery, "hidden", relay.address, listen=())
        asker = await join(nursery, "asker", relay.address, listen=())
        await wait_known(asker, hidden, 1)
        await asker.mesh.ask(hidden.key, b"through")
        through = asker.mesh._host.link(hidden.key)
        with pytest.raises(RelayRefusedError, match="itself a circuit"):
            await asker.mesh._reaching._circuits.reserve(through)
        async with await through.open_stream(HOP) as stream:  # one that ignores the rule is refused by the other side
            await stream.write(varint_frame(encode_hop_request(HopRequest(None))))
            answer = decode_hop_answer(await read_varint_frame(stream, MESSAGE_BYTES_MAX))
        assert answer.status == CircuitStatus.PERMISSION_DENIED
        behind = parse_address(f"{relay.address}/p2p-circuit", allow_relay=True)
        for peer in (asker.key, stranger_key()):
            with pytest.raises(DialError):
                await asker.mesh._host.dial(behind.with_peer(peer))
        with pytest.raises(DialError, match="no relay to itself"):
            await asker.mesh._reaching._circuits.open(behind.with_peer(relay.key))


def stranger_key():
    return public_key(seed_of("nobody"))


async def test_a_peer_that_is_not_there_is_said_so(nursery):
    """A circuit to a peer without a reservation is refused, and the request fails soon."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        asker = await join(nursery, "asker", relay.address, listen=())
        await asker.mesh.wait_connected(relay.key)
        nobody = parse_address(f"{relay.address}/p2p-circuit", allow_relay=True).with_peer(stranger_key())
        with pytest.raises(DialError, match="no reservation"):
            await asker.mesh._host.dial(nobody)
        with pytest.raises(AskError, match="unreachable"):
            await asker.mesh.ask(stranger_key(), b"?")
    assert relay.count("relay_refused_no_reservation") == 1


async def test_a_light_client_asks_through_a_relay(nursery):
    """A visitor that met the relay alone reaches the peer behind it. Files do not travel so."""
    with trio.fail_after(60):
        relay = await join(nursery, "relay")
        hidden = await join(nursery, "hidden", relay.address, listen=())
        asker = await join(nursery, "asker", relay.address, listen=())
        await wait_known(asker, hidden, 1)
        visitor = Visitor(seed_of("visitor"), NETWORK)
        await nursery.start(visitor.run)
        await visitor.meet(parse_address(relay.address))
        assert (await visitor.ask(hidden.key, b"from afar")).data == b"echo from afar"
        with pytest.raises(AskError, match="through a relay alone"):
            await asker.mesh.fetch_blob(hidden.key, bytes(32), 0, 1)
