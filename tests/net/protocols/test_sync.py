"""The exchange that makes record sets equal, and peers that break its rules."""

from itertools import pairwise

import pytest
import trio

from p2pverify.core.sync.messages import REQUEST_BYTES_MAX
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.protocols.sync import PROTOCOL, SyncLimits
from tests.net.real_peers import FakeInbox, FakeSession, assert_answers, call, introduce, join, stranger

QUICK = SyncLimits(interval_s=0.05)


async def test_a_new_neighbour_is_synced_at_once(nursery):
    """Two peers with different records soon hold the union, over several pages of one stream."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(records=set(range(75))))
        bob = await join(nursery, "bob", alice.address, inbox=FakeInbox(records=set(range(50, 130))))
        everything = set(range(130))
        await alice.inbox.wait_records(everything)
        await bob.inbox.wait_records(everything)
        while not bob.count("sync_sessions_done"):
            await trio.lowlevel.checkpoint()
    assert alice.count("sync_requests_served") >= 5
    assert bob.count("sync_records_taken") == 50


async def test_later_records_come_with_the_rounds(nursery):
    """Later records of a peer reach the others through any neighbour that has its turn."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=QUICK)
        bob = await join(nursery, "bob", alice.address, sync_limits=QUICK)
        carol = await join(nursery, "carol", bob.address, sync_limits=QUICK)
        await carol.mesh.wait_connected(bob.key)
        alice.inbox.records.add(7)
        await carol.inbox.wait_records({7})
        await bob.inbox.wait_records({7})


async def test_a_peer_that_never_answers_holds_up_nobody(nursery):
    """A session that waits for its answer takes one place. Other sessions continue, and this one ends at its time
    limit."""
    limits = SyncLimits(interval_s=0.05, answer_seconds_max=0.5)

    async def stall(stream):
        await read_frame(stream, 1000)
        await trio.sleep_forever()

    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=limits)
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, stall)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        bob = await join(nursery, "bob", alice.address, inbox=FakeInbox(records={1}))
        await alice.inbox.wait_records({1})
        bob.inbox.records.add(2)
        await alice.inbox.wait_records({2})
        while not alice.count("sync_failed"):
            await trio.lowlevel.checkpoint()


async def test_a_session_without_use_ends(nursery):
    """A session with a peer that always claims to have more ends when no new record has come for too long."""
    limits = SyncLimits(interval_s=0.05, idle_seconds_max=0.3)

    async def always_more(stream):
        while True:
            await read_frame(stream, 1000)
            await write_frame(stream, b"\x01")

    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=limits)
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, always_more)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        while not alice.count("sync_failed"):
            await trio.lowlevel.checkpoint()
        await assert_answers(nursery, alice)


@pytest.mark.parametrize("answer", [b"\0\0\0\x02xx", b"\x00\x20\x00\x00", b"\0\0\0\x09cut"])
async def test_malformed_answers_are_counted_and_harmless(nursery, answer):
    """A refused answer, one above the limit and one that is cut short each end only that session."""

    async def mumble(stream):
        await read_frame(stream, 1000)
        await stream.write(answer)

    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=QUICK)
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, mumble)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        while not (alice.count("sync_malformed") or alice.count("sync_failed")):
            await trio.lowlevel.checkpoint()
        await assert_answers(nursery, alice)


async def test_malformed_requests_reset_the_stream(nursery):
    """A request that the node refuses, or one above the limit, gets no answer."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        link = await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        for body in (b"\0\0\0\x01x", (REQUEST_BYTES_MAX + 1).to_bytes(4, "big")):
            stream = await link.open_stream(PROTOCOL)
            await stream.write(body)
            with pytest.raises(StreamBrokenError):
                await stream.read_exact(1)
        await assert_answers(nursery, alice)
    assert alice.count("streams_malformed") == 2


async def test_many_requests_travel_on_one_stream_and_few_streams_at_a_time(nursery):
    """A stream carries many requests until its opener ends it. A third stream is refused."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(records={1, 2}))
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        link = await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        first, second = await link.open_stream(PROTOCOL), await link.open_stream(PROTOCOL)
        for stream in (first, second, first):
            await write_frame(stream, b"\0\1")
            assert await read_frame(stream, 1000) == b"\0\0\2"
        third = await link.open_stream(PROTOCOL)
        with pytest.raises(StreamBrokenError):
            await third.read_exact(1)
        async with first:
            await first.finish()
            assert not await first.read_some()
        again = await link.open_stream(PROTOCOL)
        await write_frame(again, b"")
        assert await read_frame(again, 1000) == b"\0\0\1\0\2"


async def test_what_an_interrupted_session_took_stays(nursery):
    """If the link ends between two pages, the first page is kept, and the session frees the ids that it was
    fetching."""
    sessions: list[FakeSession] = []

    class Watched(FakeInbox):
        def sync_session(self, peer):
            sessions.append(FakeSession(self))
            sessions[-1].release = released.set
            return sessions[-1]

    async def one_page(stream):
        await read_frame(stream, 1000)
        await write_frame(stream, b"\x01\0\5")
        await stream.reset()

    released = trio.Event()
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=Watched())
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        mallory.handle(PROTOCOL, one_page)
        await call(mallory, alice)
        await alice.inbox.wait_records({5})
        await released.wait()
    assert not sessions[0].ended


async def test_askers_take_turns(nursery):
    """Two streams that ask without end are answered alternately."""
    order: list[bytes] = []

    class Noting(FakeInbox):
        def sync_answer(self, request):
            order.append(request[:2])
            return super().sync_answer(request)

    async def ask(stream, name):
        for _ in range(20):
            await write_frame(stream, name)
            await read_frame(stream, 1000)

    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=Noting(records={1}))
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/2", introduce)
        link = await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        streams = [await link.open_stream(PROTOCOL) for _ in range(2)]
        async with trio.open_nursery() as asking:
            for number, stream in enumerate(streams):
                asking.start_soon(ask, stream, bytes([7, number]))
    alternating = [one != two for one, two in pairwise([name for name in order if name])]
    assert sum(alternating) >= 20
