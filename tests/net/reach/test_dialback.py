"""Dial-back: an honest answer, and no way to have a peer dial somebody else."""

import pytest
import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.reach import dialback
from p2pverify.net.reach.dialback import (
    ANSWER_BYTES,
    DIALBACK,
    DIALLED,
    DONE,
    FAILED,
    NONCE_BYTES,
    REFUSED,
    TIME_MS_MAX,
    Dialback,
    decode_answer,
    decode_dialback,
    encode_answer,
    encode_dialback,
)
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import call, introduce, join, stranger

NONCE = bytes(range(NONCE_BYTES))
NOW_MS = 1_700_000_000_000


def _port(peer):
    return parse_address(peer.address).port


async def _member(nursery, peer, name="mallory"):
    """A bare host that the peer takes for one of its network, and its link."""
    host = await stranger(nursery, name)
    host.handle("/p2pverify/peers/2", introduce)
    link = await call(host, peer)
    while peer.mesh._host.link(host.peer) is None or not peer.mesh._host.link(host.peer).confirmed.is_set():
        await trio.lowlevel.checkpoint()
    return host, link


async def _ask(link, request):
    async with await link.open_stream(DIALBACK) as stream:
        await write_frame(stream, request)
        return (await read_frame(stream, ANSWER_BYTES))[:1]


def test_answers_are_read_strictly():
    """One of three outcomes, and a time that fits into the integers of all languages."""
    for outcome in (DONE, REFUSED, FAILED):
        assert decode_answer(encode_answer(outcome, NOW_MS)) == (outcome, NOW_MS)
    assert decode_answer(encode_answer(DONE, -1)) == (DONE, 0)
    assert decode_answer(encode_answer(DONE, 2**70)) == (DONE, TIME_MS_MAX)
    for bad in (b"", DONE, DONE + bytes(7), DONE + bytes(9), b"\x03" + bytes(8), DONE + (2**53).to_bytes(8, "big")):
        with pytest.raises(DecodeError):
            decode_answer(bad)


def test_requests_are_read_strictly():
    """A nonce of 16 bytes, and a port that can be dialled."""
    assert decode_dialback(encode_dialback(NONCE, 4747)) == (NONCE, 4747)
    for bad in (encode_dialback(NONCE, 0), encode_dialback(NONCE, 65536), encode_dialback(b"short", 1), b"", b"\x80"):
        with pytest.raises(DecodeError):
            decode_dialback(bad)


async def test_a_peer_that_listens_is_dialled(nursery):
    """The nonce comes over a new connection, which closes neither of the old ones."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        await alice.mesh.wait_gossiping(bob.key)
        link = bob.mesh._host.link(alice.key)
        assert await bob.mesh._reaching._dialback.ask(link, _port(bob)) is True
        assert bob.mesh._host.link(alice.key) is link
        assert not link.closed.is_set()
    assert alice.count("dialbacks_done") == 1


async def test_the_answer_tells_the_time(nursery):
    """One peer of each address group counts, and the median of the groups."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        assert bob.mesh.reach().clocks == 0
        link = bob.mesh._host.link(alice.key)
        await bob.mesh._reaching._dialback.ask(link, _port(bob))
        known = bob.mesh.reach()
        assert known.clocks == 1
        assert abs(known.clock_ahead_ms) < 60_000  # both have the clock of this machine


async def test_a_port_that_nobody_serves_is_a_no(nursery, monkeypatch):
    """So is a port at which another peer answers."""
    monkeypatch.setattr(dialback, "AGAIN_SECONDS", 0.0)
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        await alice.mesh.wait_connected(bob.key)
        link = bob.mesh._host.link(alice.key)
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        closed = listener.socket.getsockname()[1]
        await listener.aclose()
        assert await bob.mesh._reaching._dialback.ask(link, closed) is False
        assert await bob.mesh._reaching._dialback.ask(link, _port(alice)) is False


async def test_it_is_no_port_scanner(nursery):
    """One request a minute for each peer, to the address of its connection, and none for strangers or circuits."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = listener.socket.getsockname()[1]
        outsider = await call(await stranger(nursery, "outsider"), alice)
        assert await _ask(outsider, encode_dialback(NONCE, port)) == REFUSED
        _, link = await _member(nursery, alice)
        with trio.move_on_after(20):
            async with trio.open_nursery() as asking:
                asking.start_soon(_ask, link, encode_dialback(NONCE, port))
                stream = await listener.accept()  # what alice sends before it knows who answers
                assert b"multistream" in await stream.receive_some()
                await stream.aclose()
        for _ in range(5):
            assert await _ask(link, encode_dialback(NONCE, port)) == REFUSED
        with trio.move_on_after(0.3) as quiet:
            await listener.accept()
        assert quiet.cancelled_caught
        await listener.aclose()
    assert alice.count("dialbacks_refused") == 6


async def test_a_yes_without_the_nonce_is_no_yes(nursery):
    """A server that claims success without dialling has not answered."""
    with trio.fail_after(30):
        liar = await stranger(nursery, "liar")

        async def lie(stream):
            await read_frame(stream, 64)
            await write_frame(stream, encode_answer(DONE, 0))

        liar.handle(DIALBACK, lie)
        host = await stranger(nursery, "asker")
        counters, told = Counters(), []
        asking = Dialback(host, counters, clock=lambda: NOW_MS, told=lambda _link, ahead_ms: told.append(ahead_ms))
        link = await host.dial(liar.addresses[0])
        assert await asking.ask(link, 4747) is None


@pytest.mark.parametrize(
    ("answer", "says", "ahead_ms"),
    [
        (encode_answer(FAILED, NOW_MS + 5_000), False, [5_000]),
        (encode_answer(REFUSED, NOW_MS - 7_000), None, [-7_000]),
        (encode_answer(REFUSED, 0), None, [-NOW_MS]),
        *((malformed, None, []) for malformed in (FAILED, bytes(10), b"\x09" + bytes(8), b"\xff" * 9, b"")),
    ],
)
async def test_other_answers(nursery, answer, says, ahead_ms):
    """Only "tried in vain" is a no. A well-formed answer tells the time, whatever it says."""
    with trio.fail_after(30):
        server = await stranger(nursery, "server")

        async def say(stream):
            await read_frame(stream, 64)
            await write_frame(stream, answer)

        server.handle(DIALBACK, say)
        host = await stranger(nursery, "asker")
        told = []
        asking = Dialback(host, Counters(), clock=lambda: NOW_MS, told=lambda _link, ahead_ms: told.append(ahead_ms))
        link = await host.dial(server.addresses[0])
        assert await asking.ask(link, 4747) is says
        assert told == ahead_ms


async def test_a_nonce_that_nobody_waits_for(nursery):
    """It is counted, and so is one that comes over a connection that we dialled."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        for nonce in (NONCE, b"", b"x"):
            link = await call(await stranger(nursery, f"m {len(nonce)}"), alice)
            async with await link.open_stream(DIALLED) as stream:
                await write_frame(stream, nonce)
                with pytest.raises(StreamBrokenError):
                    await stream.read_exact(1)
        while alice.count("dialbacks_unasked") < 3:
            await trio.lowlevel.checkpoint()
