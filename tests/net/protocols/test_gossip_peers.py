"""The gossip router's knowledge of its peers on real sockets: their addresses, and the excluded peers."""

import trio

from p2pverify.core.gossip.params import GossipParams, ScoreParams
from tests.net.real_peers import join

STRICT = GossipParams(score=ScoreParams(colocation_threshold=1, colocation_free=()))


async def test_addresses_count(nursery):
    """Two peers of one address are one too many for a router that does not exempt loopback, and none by default."""
    with trio.fail_after(15):
        strict = await join(nursery, "strict", gossip=STRICT)
        plain = await join(nursery, "plain", strict.address)
        other = await join(nursery, "other", strict.address, plain.address)
        for peer in (plain, other):
            await strict.mesh.wait_gossiping(peer.key)
        await plain.mesh.wait_gossiping(other.key)
        await plain.mesh.wait_gossiping(strict.key)
        while strict.count("router_size_peers_negative") != 2:  # one of two simultaneous connections is closed first
            await trio.lowlevel.checkpoint()
    assert plain.count("router_size_peers_negative") == 0


async def test_excluded_peers_leave_the_mesh_and_are_heard(nursery):
    """An excluded peer is in no mesh, stays connected, and its messages arrive."""
    with trio.fail_after(15):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await alice.mesh.wait_gossiping(bob.key)
        await bob.mesh.wait_gossiping(alice.key)
        alice.mesh.exclude(frozenset({bob.key}))
        bob.mesh.publish_nowait(b"evidence")
        await alice.inbox.wait_heard(b"evidence")
    assert [neighbour.in_mesh for neighbour in alice.mesh.neighbours()] == [False]
    assert alice.count("router_size_excluded") == 1
    assert alice.count("links") == 1
