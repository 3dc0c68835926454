"""The distance of a peer, and the time of its answer without the round trip."""

import sys

import pytest
import trio

from p2pverify.net.border.roundtrip import RECENT, RoundTrips, tcp_round_trip
from tests.net.real_peers import FakeInbox, join


class Far(RoundTrips):
    """Reports that the peer is an hour away."""

    least = 3600.0  # type: ignore[assignment]


def test_the_least_of_what_was_seen_lately_counts() -> None:
    trips = RoundTrips()
    assert trips.least == 0
    for seconds in (0.3, 0.1, 0.2):
        trips.note(seconds)
    assert trips.least == 0.1
    for _ in range(RECENT):
        trips.note(0.25)
    assert trips.least == 0.25


def test_the_system_sees_through_slow_answers() -> None:
    """A peer that delays small answers to seem far away gains nothing if the system knows the round trip."""
    trips = RoundTrips(lambda: 0.02)
    for _ in range(RECENT):
        trips.note(1.0)
    assert trips.least == 0.02
    assert RoundTrips(lambda: None).least == 0
    assert RoundTrips(lambda: 0.02).least == 0.02


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells it")
async def test_the_round_trip_of_a_tcp_connection() -> None:
    """Over loopback it is known after the first bytes, and it is short."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    ours = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    theirs = await listeners[0].accept()
    async with ours, theirs, listeners[0]:
        for _ in range(3):
            await ours.send_all(b"?")
            assert await theirs.receive_some(1) == b"?"
            await theirs.send_all(b"!")
            assert await ours.receive_some(1) == b"!"
        known = tcp_round_trip(ours)
        assert known is not None
        assert 0 < known < 1
    assert tcp_round_trip(ours) is None


async def test_time_spent_answering_counts_and_the_way_does_not(nursery) -> None:
    """The whole answering time of a slow peer counts, minus the known round trip."""
    began, done = trio.Event(), trio.Event()

    async def slow(request: bytes, source: bytes) -> bytes:
        began.set()
        await done.wait()
        return b"done"

    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(response=slow))
        bob = await join(nursery, "bob", str(alice.mesh.addresses()[0]))
        await bob.mesh.wait_connected(alice.key)
        link = bob.mesh._host.link(alice.key)
        assert link is not None
        link.round_trips = RoundTrips(lambda: 0.0)
        replies = []

        async def ask() -> None:
            replies.append(await bob.mesh.ask(alice.key, b"?"))

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await began.wait()
            done.set()
        assert replies[0].data == b"done"
        assert replies[0].elapsed_ms >= 1
        link.round_trips = Far()
        assert (await bob.mesh.ask(alice.key, b"?")).elapsed_ms == 1
