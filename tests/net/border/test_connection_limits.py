"""Limits by address: half-open connections, incoming connections, and the rate at which one neighbour is read."""

import pytest
import trio

from p2pverify.core.limits import Rate
from p2pverify.net.border import connection_limits, host
from p2pverify.net.border.connection_limits import HalfOpen, group_of
from p2pverify.net.protocols import read_rate
from p2pverify.net.protocols.read_rate import ReadRate
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import call, join, stranger


@pytest.mark.parametrize(
    ("ip", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("no address", "no address"),
    ],
)
def test_addresses_and_what_they_count_under(ip, group):
    """An IPv4 address counts alone, an IPv6 address with its /64. Loopback addresses are not limited."""
    assert group_of((ip, 1)) == group


def test_loopback_counts_where_it_is_told_to():
    """An option for tests and single machines makes loopback count. An unknown address counts nowhere."""
    assert group_of(("127.0.0.1", 1), loopback_counts=True) == "127.0.0.1"
    assert group_of(None, loopback_counts=True) == ""


async def test_half_open_connections_of_one_address_make_room_for_themselves():
    """Above its limit, the oldest of the same address is closed. If all places are used, the oldest of the busiest
    address is."""
    half_open, scopes = HalfOpen(), []

    def enter(group):
        scopes.append(trio.CancelScope())
        return half_open.enter(group, scopes[-1])[1]

    assert not any(enter("one") for _ in range(connection_limits.HALF_OPEN_PER_ADDRESS_MAX))
    assert not enter("two")
    assert enter("one")
    assert [scope.cancel_called for scope in scopes].index(True) == 0
    while len(half_open) < connection_limits.HALF_OPEN_MAX:
        assert not enter(f"other {len(half_open)}")
    assert enter("late")
    assert [scope.cancel_called for scope in scopes].count(True) == 2
    assert scopes[1].cancel_called
    assert len(half_open) == connection_limits.HALF_OPEN_MAX


async def test_one_address_has_so_many_places(nursery, monkeypatch):
    """Further incoming connections from the address are refused. The peer can still dial a peer there."""
    monkeypatch.setattr(host, "INBOUND_PER_ADDRESS_MAX", 2)
    with trio.fail_after(10):
        alice = await join(nursery, "alice", loopback_counts=True)
        for name in ("bob", "carol", "dave"):
            await call(await stranger(nursery, name), alice)
        while not alice.count("links_refused_by_address"):
            await trio.lowlevel.checkpoint()
        assert alice.count("links") == 2
        erin = await join(nursery, "erin")
        await alice.mesh._host.dial(parse_address(erin.address))
        assert alice.count("links") == 3


async def test_a_neighbour_is_read_at_a_pace(autojump_clock, monkeypatch):
    """Its burst is read at once, and then a limited number of frames and bytes a second."""
    monkeypatch.setattr(read_rate, "FRAMES", Rate(per_second=10, burst=20))
    monkeypatch.setattr(read_rate, "BYTES", Rate(per_second=1000, burst=5000))
    small, large = ReadRate(), ReadRate()
    began = trio.current_time()
    assert [await small.keep(1) for _ in range(21)] == [True] * 20 + [False]
    assert trio.current_time() - began == pytest.approx(0.1, abs=0.01)
    began = trio.current_time()
    for _ in range(10):
        await large.keep(1000)
    assert trio.current_time() - began == pytest.approx(5.0, abs=0.1)


async def test_gossip_beyond_the_pace_is_slowed_not_lost(nursery, monkeypatch):
    """A burst of messages above the rate arrives complete, but later."""
    monkeypatch.setattr(read_rate, "FRAMES", Rate(per_second=200, burst=5))
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        for number in range(100):
            bob.mesh.publish_nowait(b"x" * 2000 + b"%d" % number)
            await trio.lowlevel.checkpoint()
        for number in range(100):
            await alice.inbox.wait_heard(b"x" * 2000 + b"%d" % number)
