"""The exchange that makes record sets equal, and peers that do not keep to it."""

import pytest
import trio

from p2pverify.net.framing import read_frame, write_frame
from p2pverify.net.stream import StreamBrokenError
from p2pverify.net.sync import PROTOCOL, SyncLimits
from tests.net.peers import FakeInbox, assert_answers, call, introduce, join, stranger

QUICK = SyncLimits(interval_s=0.05)


async def test_a_new_neighbour_is_synced_at_once(nursery):
    """Two peers with different records hold the union soon after they meet, over several pages."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(records=set(range(75))))
        bob = await join(nursery, "bob", alice.address, inbox=FakeInbox(records=set(range(50, 130))))
        everything = set(range(130))
        await alice.inbox.wait_records(everything)
        await bob.inbox.wait_records(everything)
    assert bob.count("sync_pages_taken") >= 5


async def test_later_records_come_with_the_rounds(nursery):
    """What a peer records later reaches the others through neighbours, whoever has their turn."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=QUICK)
        bob = await join(nursery, "bob", alice.address, sync_limits=QUICK)
        carol = await join(nursery, "carol", bob.address, sync_limits=QUICK)
        await carol.mesh.wait_connected(bob.key)
        alice.inbox.records.add(7)
        await carol.inbox.wait_records({7})
        await bob.inbox.wait_records({7})


async def test_a_round_ends_although_the_peer_always_has_more(nursery):
    """A peer that claims to have more, page after page, is left after the limit."""
    limits = SyncLimits(interval_s=0.05, pages_per_round_max=3)
    served = []

    async def always_more(stream):
        await read_frame(stream, 1000)
        served.append(stream.peer)
        await write_frame(stream, b"\x01")

    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=limits)
        bob = await join(nursery, "bob", alice.address, inbox=FakeInbox(records={1}))
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/1", introduce)
        mallory.handle(PROTOCOL, always_more)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        await alice.inbox.wait_records({1})
        bob.inbox.records.add(2)
        await alice.inbox.wait_records({2})
    assert served


@pytest.mark.parametrize("answer", [b"\0\0\0\x02xx", b"\x00\x20\x00\x00", b"\0\0\0\x09cut"])
async def test_malformed_pages_are_counted_and_harmless(nursery, answer):
    """A page that the node refuses, one beyond the limit and one cut short end only that round."""

    async def mumble(stream):
        await read_frame(stream, 1000)
        await stream.write(answer)

    with trio.fail_after(10):
        alice = await join(nursery, "alice", sync_limits=QUICK)
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/1", introduce)
        mallory.handle(PROTOCOL, mumble)
        await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        while not (alice.count("sync_malformed") or alice.count("sync_failed")):
            await trio.lowlevel.checkpoint()
        await assert_answers(nursery, alice)


async def test_malformed_frontiers_reset_the_stream(nursery):
    """A frontier that the node refuses, or one beyond the limit, gets no page."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        mallory.handle("/p2pverify/peers/1", introduce)
        link = await call(mallory, alice)
        await alice.mesh.wait_connected(mallory.peer)
        for body in (b"\0\0\0\x01x", b"\x10\0\0\0"):
            stream = await link.open_stream(PROTOCOL)
            await stream.write(body)
            with pytest.raises(StreamBrokenError):
                await stream.read_exact(1)
        await assert_answers(nursery, alice)
    assert alice.count("streams_malformed") == 2
