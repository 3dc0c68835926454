"""A peer that blocks writes to it while this peer leaves. Other attacks are in tests/attack."""

import trio
import trio.testing

from p2pverify.net.border.framing import write_frame
from p2pverify.net.border.stream import Stream
from p2pverify.net.protocols.requests import RequestLimits
from tests.net.real_peers import FakeInbox, call, introduce, join, stranger


async def test_leaving_does_not_wait_for_a_peer_that_does_not_read(nursery):
    """A peer that blocks writes delays the end by at most a second or two."""
    with trio.fail_after(15):
        alice, _ = await _stalled(nursery)
        with trio.fail_after(3):
            await alice.leave()


async def test_last_words_arrive_though_nobody_listened(nursery):
    """A handler's last message is read without a reset, even if the handler read nothing of the request."""
    left = trio.Event()

    async def refuse(stream):
        await stream.write(b"no")
        left.set()

    with trio.fail_after(15):
        alice, mallory = await stranger(nursery), await stranger(nursery, "mallory 2")
        alice.handle("/test/refuse/1", refuse)
        alice.handle("/test/greet/1", Stream.finish)
        link = await mallory.dial(alice.addresses[0])
        async with await link.open_stream("/test/refuse/1") as stream:
            await stream.write(b"x" * 1000)
            await left.wait()
            for _ in range(3):  # by then, all frames of the first stream have arrived too
                async with await link.open_stream("/test/greet/1"):
                    pass
            assert await stream.read_exact(2) == b"no"
            assert await stream.read_some() == b""


async def _stalled(nursery):
    """A peer in the middle of long writes to a host that has stopped reading."""
    answered = trio.Event()

    async def respond(request, source):
        if request != b"a lot":
            return b"echo " + request
        answered.set()
        return b"x" * 200_000

    async def read_nothing(size=None):
        await trio.sleep_forever()

    limits = RequestLimits(per_peer_max=60, working_per_peer_max=60, working_max=60)
    alice = await join(nursery, "alice", inbox=FakeInbox(response=respond), request_limits=limits)
    mallory = await stranger(nursery)
    mallory.handle("/p2pverify/peers/2", introduce)
    connection = await call(mallory, alice)
    await alice.mesh.wait_connected(mallory.peer)
    streams = [await connection.open_stream("/p2pverify/request/2") for _ in range(50)]
    connection._muxer.secured_conn.wire.read = read_nothing
    for stream in streams:
        await write_frame(stream, b"a lot")
    await answered.wait()
    await trio.testing.wait_all_tasks_blocked(0.05)
    return alice, mallory
