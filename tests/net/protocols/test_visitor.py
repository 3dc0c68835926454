"""Visits to several peers, and answers of hostile ones to a request for passports."""

import hashlib

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.proofs.exchange import PASSPORT_REQUEST_BYTES_MAX, PASSPORTS_BYTES_MAX
from p2pverify.net.border.framing import frame_bytes, read_frame
from p2pverify.net.peers import peer_list
from p2pverify.net.protocols import requests
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import AskError
from tests.net.real_peers import NETWORK, assert_answers, introduce, join, stranger

SEED = hashlib.sha256(b"a visitor").digest()


async def visit(nursery: trio.Nursery) -> Visitor:
    visitor = Visitor(SEED, NETWORK)
    await nursery.start(visitor.run)
    return visitor


async def test_a_visitor_asks_peers_that_it_has_not_met(nursery):
    """It knows their signed addresses from the list of the one that it has met, and dials them when it asks."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_connected(alice.key)
        await alice.mesh.wait_connected(bob.key)
        visitor = await visit(nursery)
        while bob.key not in visitor.known():
            peer, _ = await visitor.meet(parse_address(alice.address))
            assert peer == alice.key
        assert visitor.met() == {alice.key}
        assert await visitor.passports(alice.key, b"whose?") == b"passports whose?"
        assert (await visitor.ask(bob.key, b"hello?")).data == b"echo hello?"
        assert visitor.met() == {alice.key, bob.key}
        with pytest.raises(AskError, match="unreachable"):
            await visitor.ask(sign.public_key(bytes(32)), b"?")


async def test_peers_limit_requests_for_passports(nursery):
    """A malformed one is reset, and a large one is refused, without other effects."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        visitor = await visit(nursery)
        await visitor.meet(parse_address(alice.address))
        with pytest.raises(AskError, match="reset"):
            await visitor.passports(alice.key, b"malformed")
        with pytest.raises(AskError, match="too-large"):
            await visitor.passports(alice.key, bytes(PASSPORT_REQUEST_BYTES_MAX + 1))
        assert alice.count("passports_refused_too-large") == 1
        assert await visitor.passports(alice.key, b"?") == b"passports ?"
        assert alice.count("passports_answered") == 1
        await assert_answers(nursery, alice)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (frame_bytes(b"\x00" + bytes(PASSPORTS_BYTES_MAX + 1)), "too-large"),
        (b"\xff\xff\xff\xff" + bytes(1000), "too-large"),
        (frame_bytes(b"\x07"), "malformed"),
        (frame_bytes(b"\x01nonsense"), "malformed"),
        (frame_bytes(b"\x00ok") + b"more", "malformed"),
        (frame_bytes(b"\x02\x81\x01"), "malformed"),
        (b"\x00\x00", "reset"),
        (b"", "reset"),
    ],
)
async def test_hostile_answers_to_a_request_for_passports(nursery, said, reason):
    """Each ends in an error with a reason, after a bounded number of bytes."""

    async def answer(stream):
        await read_frame(stream, 65536)
        await stream.write(said)

    with trio.fail_after(20):
        mallory = await stranger(nursery)
        mallory.handle(peer_list.PROTOCOL, introduce)
        mallory.handle(requests.PASSPORT_PROTOCOL, answer)
        visitor = await visit(nursery)
        await visitor.meet(mallory.addresses[0])
        with pytest.raises(AskError) as failed:
            await visitor.passports(mallory.peer, b"?")
    assert failed.value.reason == reason


async def test_silence_is_the_callers_to_end(nursery):
    """A peer that says nothing holds the visitor for as long as the caller wants."""
    taken = trio.Event()

    async def stall(stream):
        taken.set()
        await trio.sleep_forever()

    with trio.fail_after(20):
        mallory = await stranger(nursery)
        mallory.handle(peer_list.PROTOCOL, introduce)
        mallory.handle(requests.PASSPORT_PROTOCOL, stall)
        visitor = await visit(nursery)
        await visitor.meet(mallory.addresses[0])
        async with trio.open_nursery() as asking:
            asking.start_soon(visitor.passports, mallory.peer, b"?")
            await taken.wait()
            asking.cancel_scope.cancel()
        assert visitor.met() == {mallory.peer}


def test_the_first_token_of_a_long_question_may_take_longer():
    """As many times as the request has the bytes of a question that members owe."""
    limits = requests.RequestLimits(serve_seconds_max=20, usual_bytes=1500)
    assert [limits.first_token_s(size) for size in (100, 1500, 2999, 15_000)] == [20, 20, 20, 200]
