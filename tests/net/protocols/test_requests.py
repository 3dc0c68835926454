"""Inference requests: answers, refusals, limits, and cancellation at any moment."""

from contextlib import asynccontextmanager

import pytest
import trio

from p2pverify.core.inference.question import REQUEST_BYTES_MAX
from p2pverify.core.inference.stream import LAST_BYTES_MAX
from p2pverify.core.limits import Rate
from p2pverify.core.roles.disputes.evidence import EVIDENCE_BYTES_MAX
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.protocols import requests
from p2pverify.net.protocols.requests import EVIDENCE_PROTOCOL, PROTOCOL, RequestLimits
from p2pverify.node.ports import AskError
from tests.net.real_peers import FakeInbox, assert_answers, call, introduce, join, list_of_nobody, stranger


async def _pair(nursery, **options):
    alice = await join(nursery, "alice", **options)
    bob = await join(nursery, "bob", alice.address)
    await bob.mesh.wait_connected(alice.key)
    await alice.mesh.wait_connected(bob.key)
    return alice, bob


async def _reason(peer, key, request=b"?"):
    with pytest.raises(AskError) as caught:
        await peer.mesh.ask(key, request)
    return caught.value.reason


async def test_a_request_gets_its_answer(nursery):
    """Both sides can ask, with sizes up to the limits."""
    with trio.fail_after(10):
        alice, bob = await _pair(nursery)
        assert (await bob.mesh.ask(alice.key, b"question")).data == b"echo question"
        assert (await alice.mesh.ask(bob.key, b"")).data == b"echo "
        bob.inbox.response = _size
        assert (await alice.mesh.ask(bob.key, b"q" * 65536)).data == b"65536"
        bob.inbox.response = _constant(b"a" * LAST_BYTES_MAX)
        assert (await alice.mesh.ask(bob.key, b"?")).data == b"a" * LAST_BYTES_MAX


async def test_the_source_is_the_proven_key(nursery):
    """The responder gets the requester's key from the connection."""

    async def who(request, source):
        return source

    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox=FakeInbox(response=who))
        assert (await bob.mesh.ask(alice.key, b"who am I?")).data == bob.key


async def test_many_requests_at_once(nursery):
    """More requests than the streams of one reading window run at the same time."""
    limits = RequestLimits(per_peer_max=100, waiting_max=100)
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, request_limits=limits)
        answers = []

        async def ask(number):
            answers.append((await bob.mesh.ask(alice.key, b"%d" % number * 100)).data)

        async with trio.open_nursery() as inner:
            for number in range(50):
                inner.start_soon(ask, number)
        assert sorted(answers) == sorted(b"echo " + b"%d" % number * 100 for number in range(50))


async def test_too_large_things_are_refused(nursery):
    """A request or response above its limit fails with a reason, on either side."""
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox=FakeInbox(response=_constant(b"x" * (LAST_BYTES_MAX + 1))))
        assert await _reason(bob, alice.key, b"x" * (REQUEST_BYTES_MAX + 1)) == "too-large"
        assert await _reason(bob, alice.key) == "failed"
        link = await call(await stranger(nursery), alice)
        async with await link.open_stream("/p2pverify/peers/2") as stream:
            await write_frame(stream, list_of_nobody())
            await read_frame(stream, 65536)
        async with await link.open_stream(PROTOCOL) as stream:
            await stream.write((65537).to_bytes(4, "big"))
            assert await read_frame(stream, 100) == b"\x01too-large"
        assert alice.count("asks_refused_too-large") == 1


async def test_a_huge_response_is_not_read(nursery):
    """A response that announces a frame above the limit is not read."""

    async def shout(stream):
        await read_frame(stream, 100)
        await stream.write((1 << 30).to_bytes(4, "big"))

    assert await _ask_stranger(nursery, shout) == "too-large"


@pytest.mark.parametrize("frame", [b"", b"\x02", b"\x03", b"\x01unheard of", b"\x01\xff", b"\x01"])
async def test_a_malformed_response_is_named_so(nursery, frame):
    """A response frame without a known first byte, or with an unknown refusal, is malformed."""

    async def mumble(stream):
        await read_frame(stream, 100)
        await write_frame(stream, frame)

    assert await _ask_stranger(nursery, mumble) == "malformed"


async def test_a_response_cut_short_is_a_reset(nursery):
    """A stream that ends within the response gives no answer."""

    async def break_off(stream):
        await read_frame(stream, 100)
        await stream.write((50).to_bytes(4, "big") + b"\x00half")

    assert await _ask_stranger(nursery, break_off) == "reset"


async def test_a_handler_that_raises_is_an_answer(nursery, caplog):
    """The requester gets an error. The responder logs a trace and continues."""
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox=FakeInbox(response=_broken))
        assert await _reason(bob, alice.key) == "failed"
        alice.inbox.response = None
        assert (await bob.mesh.ask(alice.key, b"now?")).data == b"echo now?"
    assert "a bug of the node" in caplog.text


async def test_serving_has_a_time_limit(nursery):
    """A request that takes longer than the responder's limit is answered with a timeout."""
    limits = RequestLimits(serve_seconds_max=0.05)
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox=FakeInbox(response=_never), request_limits=limits)
        assert await _reason(bob, alice.key) == "timeout"


async def test_reading_has_a_time_limit(nursery):
    """A peer that does not finish its request frame loses its stream, and the responder still serves others."""
    limits = RequestLimits(read_seconds_max=0.05)
    with trio.fail_after(10):
        alice, _ = await _pair(nursery, request_limits=limits)
        link = await call(await stranger(nursery), alice)
        async with await link.open_stream("/p2pverify/peers/2") as stream:
            await write_frame(stream, list_of_nobody())
            await read_frame(stream, 65536)
        stream = await link.open_stream(PROTOCOL)
        await stream.write(b"\0\0\0\x09half")
        with pytest.raises(StreamBrokenError):
            await stream.read_exact(1)
        await assert_answers(nursery, alice)


async def test_a_peer_that_asks_too_much_at_once_is_told_so(nursery):
    """Above one peer's limit of open requests, its requests are refused at once. The requests of others are served."""
    limits = RequestLimits(per_peer_max=2, working_per_peer_max=1)
    async with _held_up(nursery, limits) as (alice, bob, carol, held):
        await _ask(nursery, bob, alice, b"bob 1")
        while not held:
            await alice.inbox.changed.wait()
        await _ask(nursery, bob, alice, b"bob 2")
        while alice.mesh._requests._turns.waiting < 1:
            await trio.lowlevel.checkpoint()
        assert await _reason(bob, alice.key) == "busy"
        await _ask(nursery, carol, alice, b"carol 1")
        while held != [b"bob 1", b"carol 1"]:
            await alice.inbox.changed.wait()
        assert alice.count("asks_refused_busy") == 1


async def test_a_full_waiting_room_is_answered_with_busy(nursery):
    """A non-member is refused if there is no room. A member takes the place of a waiting request."""
    limits = RequestLimits(working_max=1, waiting_max=1)
    async with _held_up(nursery, limits) as (alice, bob, carol, held):
        alice.inbox.members = {carol.key}
        await _ask(nursery, bob, alice, b"bob 1")
        while not held:
            await alice.inbox.changed.wait()
        answer = await _ask(nursery, bob, alice, b"bob 2")
        while alice.mesh._requests._turns.waiting < 1:
            await trio.lowlevel.checkpoint()
        assert await _reason(bob, alice.key, b"bob 3") == "busy"
        await _ask(nursery, carol, alice, b"carol 1")
        assert await answer.receive() == "busy"
        assert alice.count("asks_refused_busy") == 2
    assert held[:2] == [b"bob 1", b"carol 1"]


@asynccontextmanager
async def _held_up(nursery, limits):
    """Alice, who answers nothing before the block ends; two peers that ask her; and the requests that she has begun."""
    gate, held = trio.Event(), []

    async def hold(request, source):
        held.append(request)
        alice.inbox._wake()
        await gate.wait()
        return b"done"

    with trio.fail_after(10):
        alice, bob = await _pair(nursery, inbox=FakeInbox(response=hold), request_limits=limits)
        carol = await join(nursery, "carol", alice.address)
        await carol.mesh.wait_connected(alice.key)
        yield alice, bob, carol, held
        gate.set()
        assert (await bob.mesh.ask(alice.key, b"?")).data == b"done"


async def _ask(nursery, peer, responder, request):
    """Ask in the background. Returns a channel with the answer, or with the reason for none."""
    send, receive = trio.open_memory_channel(1)

    async def ask():
        try:
            await send.send((await peer.mesh.ask(responder.key, request)).data)
        except AskError as failed:
            await send.send(failed.reason)

    nursery.start_soon(ask)
    return receive


async def test_asking_nobody_is_unreachable(nursery):
    """An unknown peer and a peer that has left are unreachable."""
    with trio.fail_after(10):
        alice, bob = await _pair(nursery)
        assert await _reason(alice, b"\x07" * 32) == "unreachable"
        await bob.leave()
        await alice.mesh.wait_disconnected(bob.key)
        assert await _reason(alice, bob.key) == "unreachable"


async def test_asking_dials_by_known_address(nursery):
    """A request to a known peer without a connection dials it."""
    with trio.fail_after(10):
        carol = await join(nursery, "carol")
        alice = await join(nursery, "alice", carol.address)
        assert (await alice.mesh.ask(carol.key, b"hi")).data == b"echo hi"


@pytest.mark.parametrize("size", [1, 65536])
async def test_cancelled_requests_leave_the_link_usable(nursery, size):
    """Requests that are cancelled at any stage do not harm later requests on the same connection."""
    with trio.fail_after(20):
        alice, bob = await _pair(nursery)
        alice.inbox.response = _size
        for delay_ms in range(12):
            with trio.move_on_after(delay_ms / 4000):
                await bob.mesh.ask(alice.key, b"x" * size)
        alice.inbox.response = _never
        with trio.move_on_after(0.05):
            await bob.mesh.ask(alice.key, b"x" * size)
        alice.inbox.response = None
        assert (await bob.mesh.ask(alice.key, b"after")).data == b"echo after"
        assert (await alice.mesh.ask(bob.key, b"after")).data == b"echo after"
        assert bob.count("links_opened") == 1


async def test_requests_of_other_networks_are_not_served(nursery):
    """A peer that has not proven to be of this network gets no answer."""
    limits = RequestLimits(confirm_seconds_max=0.05)
    with trio.fail_after(10):
        alice, _ = await _pair(nursery, request_limits=limits)
        mallory = await stranger(nursery)
        link = await call(mallory, alice)
        async with await link.open_stream(PROTOCOL) as stream:
            await write_frame(stream, b"let me in")
            assert await read_frame(stream, 100) == b"\x01unconfirmed"
    assert alice.count("asks_answered") == 0


async def test_evidence_travels_beside_requests(nursery):
    """It has the same shape on its own protocol, with smaller frames. A malformed request resets the stream."""
    with trio.fail_after(10):
        alice, bob = await _pair(nursery)
        assert await bob.mesh.fetch(alice.key, b" of what?") == b"evidence of what?"
        for request, reason in ((b"malformed", "reset"), (b"q" * 257, "too-large")):
            with pytest.raises(AskError) as caught:
                await bob.mesh.fetch(alice.key, request)
            assert caught.value.reason == reason
        alice.inbox.shown = bytes(EVIDENCE_BYTES_MAX)
        with pytest.raises(AskError) as caught:
            await bob.mesh.fetch(alice.key, b"more than fits")
        assert caught.value.reason == "failed"
        assert (await bob.mesh.ask(alice.key, b"still there?")).data == b"echo still there?"
    assert alice.count("evidence_answered") == 1
    assert (bob.count("evidence_succeeded"), bob.count("evidence_failed")) == (1, 3)


async def test_evidence_is_neither_for_other_networks_nor_without_end(nursery, monkeypatch):
    """A peer that has not proven to be of this network gets none, and a peer that asks too often has to wait."""
    monkeypatch.setattr(requests, "RATE", Rate(per_second=1, burst=2))
    monkeypatch.setattr(requests, "POOL", Rate(per_second=1, burst=2))
    with trio.fail_after(20):
        alice, bob = await _pair(nursery, request_limits=RequestLimits(confirm_seconds_max=0.05))
        mallory = await stranger(nursery)
        link = await call(mallory, alice)
        async with await link.open_stream(EVIDENCE_PROTOCOL) as stream:
            await write_frame(stream, b"let me in")
            assert await read_frame(stream, 100) == b"\x01unconfirmed"
        reasons = set()
        while "busy" not in reasons:
            try:
                await bob.mesh.fetch(alice.key, b"again")
            except AskError as failed:
                reasons.add(failed.reason)
    assert reasons == {"busy"}


def _constant(data):
    async def respond(request, source):
        return data

    return respond


async def _size(request, source):
    return b"%d" % len(request)


async def _broken(request, source):
    raise RuntimeError("a bug of the node")


async def _never(request, source):
    await trio.sleep_forever()


async def _ask_stranger(nursery, handler):
    """The reason for the failure of a request to a peer with its own version of the protocols."""

    with trio.fail_after(10):
        alice, _ = await _pair(nursery)
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, handler)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        return await _reason(alice, mallory.peer)
