"""States over real sockets: what is served, to whom, and how much at a time."""

from functools import partial

import pytest
import trio

from p2pverify.core.blobs.messages import BlobStatus
from p2pverify.core.encoding.canon import encode
from p2pverify.core.snapshot.messages import (
    LEAVES,
    NEWEST,
    PARTS,
    STATE_REQUEST_BYTES_MAX,
    StateRequest,
    decode_newest,
    decode_parts,
)
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.protocols.state import PROTOCOL, StateLimits
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import AskError
from p2pverify.node.snapshot.ports import StateSource
from tests.net.real_peers import NETWORK, Peer, assert_answers, call, join, seed_of, stranger
from tests.support.states import FakePeers, honest, served_network


class Served(StateSource):
    """Serves the states of the network for tests."""

    def __init__(self) -> None:
        self._peers = FakePeers(served_network(), {b"": honest})

    async def answer(self, request: StateRequest) -> bytes:
        return await self._peers.fetch_state(b"", request)


class Held(StateSource):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.working = 0
        self.most = 0
        self.changed = trio.Event()
        self.gate = trio.Event()

    async def answer(self, request: StateRequest) -> bytes:
        self.working += 1
        self.most = max(self.most, self.working)
        self.changed.set()
        self.changed = trio.Event()
        try:
            await self.gate.wait()
        finally:
            self.working -= 1
        return b"an answer"


async def _pair(nursery: trio.Nursery, states: StateSource, **limits: float) -> tuple[Peer, Peer]:
    alice = await join(nursery, "alice", states=states, state_limits=StateLimits(**limits))
    bob = await join(nursery, "bob", alice.address)
    await bob.mesh.wait_connected(alice.key)
    return alice, bob


async def test_parts_and_leaves_of_a_state(nursery: trio.Nursery) -> None:
    """A neighbour and a visitor get them; a peer that serves none says so by its protocols."""
    with trio.fail_after(30):
        alice, bob = await _pair(nursery, Served())
        visitor = Visitor(seed_of("visitor"), NETWORK)
        await nursery.start(visitor.run)
        peer, _ = await visitor.meet(parse_address(alice.address))
        assert visitor.group(peer) == ""
        for fetch in (partial(bob.mesh.fetch_state, alice.key), partial(visitor.fetch_state, peer)):
            newest = decode_newest(await fetch(StateRequest(NEWEST)))
            assert newest == served_network().server.newest()
            parts = decode_parts(await fetch(StateRequest(PARTS, newest.served[-1].cut)))
            assert "members" in [part.name for part in parts]
        with pytest.raises(AskError) as caught:
            await alice.mesh.fetch_state(bob.key, StateRequest(NEWEST))
        assert caught.value.reason == "unsupported"
        assert alice.count("states_answered") == 4


async def test_a_stranger_gets_nothing(nursery: trio.Nursery) -> None:
    with trio.fail_after(10):
        alice = await join(nursery, "alice", states=Held(), state_limits=StateLimits(confirm_seconds_max=0.05))
        link = await call(await stranger(nursery), alice)
        async with await link.open_stream(PROTOCOL) as stream:
            await write_frame(stream, StateRequest(NEWEST).encode())
            assert await read_frame(stream, 2000) == bytes([BlobStatus.UNCONFIRMED])


@pytest.mark.parametrize(
    "request_", [b"", bytes(64), encode([]), encode([LEAVES, []]), encode(["all"]), bytes(STATE_REQUEST_BYTES_MAX + 1)]
)
async def test_requests_that_are_none_are_reset(nursery: trio.Nursery, request_: bytes) -> None:
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, Held())
        link = bob.mesh._host.link(alice.key)
        assert link is not None
        stream = await link.open_stream(PROTOCOL)
        await write_frame(stream, request_)
        with pytest.raises(StreamBrokenError):
            await read_frame(stream, 10)
        assert alice.count("streams_malformed") == 1
        await assert_answers(nursery, alice)


async def test_two_requests_of_a_peer_at_a_time(nursery: trio.Nursery) -> None:
    """A third one is refused at once, and another peer is served meanwhile."""
    held = Held()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, held)
        carol = await join(nursery, "carol", alice.address)
        await carol.mesh.wait_connected(alice.key)
        async with trio.open_nursery() as asking:
            for _ in range(2):
                asking.start_soon(bob.mesh.fetch_state, alice.key, StateRequest(NEWEST))
            while held.working < 2:
                await held.changed.wait()
            with pytest.raises(AskError) as caught:
                await bob.mesh.fetch_state(alice.key, StateRequest(NEWEST))
            assert caught.value.reason == "busy"
            asking.start_soon(carol.mesh.fetch_state, alice.key, StateRequest(NEWEST))
            while held.working < 3:
                await held.changed.wait()
            held.gate.set()
        assert alice.count("states_refused_busy") == 1
        assert held.most == 3


async def test_a_peer_that_answers_beyond_the_limit(nursery: trio.Nursery) -> None:
    """The frame is not read: the length of an answer follows from the request."""

    class Endless(StateSource):
        async def answer(self, request: StateRequest) -> bytes:
            return bytes(request.answer_bytes_max)

    with trio.fail_after(10):
        alice, bob = await _pair(nursery, Endless())
        with pytest.raises(AskError) as caught:
            await bob.mesh.fetch_state(alice.key, StateRequest(PARTS, bytes(32)))
        assert caught.value.reason == "too-large"
