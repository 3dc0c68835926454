"""Meshes on real sockets: finding each other, gossip, leaving and coming back."""

import logging
import sys

import pytest
import trio

from p2pverify.core.errors import DecodeError, LocalProtocolError
from p2pverify.net.host import ListenError
from p2pverify.node.ports import GossipVerdict
from tests.net.peers import LOCAL, OTHER_NETWORK, FakeInbox, Peer, join, seed_of


async def test_gossip_reaches_all(nursery):
    """A message of carol reaches alice, whom she knows, and bob through her."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        carol = await join(nursery, "carol", alice.address)
        await carol.mesh.wait_gossiping(alice.key)
        await alice.mesh.wait_gossiping(bob.key)
        carol.mesh.publish_nowait(b"hello")
        await alice.inbox.wait_heard(b"hello")
        await bob.inbox.wait_heard(b"hello")
    assert alice.inbox.heard == [b"hello"]
    assert bob.inbox.heard == [b"hello"]
    assert carol.inbox.heard == []


async def test_everybody_finds_everybody(nursery):
    """Five peers that know one bootstrap address end up connected to all others, once to each."""
    with trio.fail_after(15):
        first = await join(nursery, "peer 0")
        peers = [first] + [await join(nursery, f"peer {n}", first.address) for n in range(1, 5)]
        for one in peers:
            for other in peers:
                if one is not other:
                    await one.mesh.wait_connected(other.key)
    for one in peers:
        others = {other.key for other in peers if other is not one}
        assert {neighbour.peer for neighbour in one.mesh.neighbours()} == others
        known = {other.address for other in peers}
        assert all(neighbour.address in known for neighbour in one.mesh.neighbours())


async def test_large_and_many_messages_arrive(nursery):
    """A message near the limit and a burst of small ones all arrive; one beyond the limit is refused here."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        bob.mesh.publish_nowait(b"L" * 250_000)
        for number in range(300):
            bob.mesh.publish_nowait(b"message %d" % number)
        await alice.inbox.wait_heard(b"L" * 250_000)
        for number in range(300):
            await alice.inbox.wait_heard(b"message %d" % number)
    with pytest.raises(LocalProtocolError):
        bob.mesh.publish_nowait(b"x" * 300_000)


async def test_only_accepted_messages_travel_on(nursery):
    """What bob ignores does not reach carol through him; what he accepts does."""
    with trio.fail_after(10):
        bob = await join(nursery, "bob", inbox=FakeInbox(GossipVerdict.IGNORE), peers_max=2)
        alice = await join(nursery, "alice", bob.address, peers_max=1)
        carol = await join(nursery, "carol", bob.address, peers_max=1)
        await alice.mesh.wait_gossiping(bob.key)
        await bob.mesh.wait_gossiping(carol.key)
        alice.mesh.publish_nowait(b"ignored")
        await bob.inbox.wait_heard(b"ignored")
        bob.inbox.verdict = GossipVerdict.ACCEPT
        alice.mesh.publish_nowait(b"accepted")
        await carol.inbox.wait_heard(b"accepted")
    assert carol.inbox.heard == [b"accepted"]


async def test_a_judge_that_fails_harms_nobody(nursery):
    """An exception behind the port is counted, and gossip from the same peer goes on."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        bob.mesh.publish_nowait(b"trips up the judge")
        bob.mesh.publish_nowait(b"next")
        await alice.inbox.wait_heard(b"next")
    assert alice.count("judge_errors") == 1


async def test_other_networks_are_sent_away(nursery, caplog):
    """A peer of another network is disconnected, with a reason that is counted and logged."""
    with trio.fail_after(10), caplog.at_level(logging.WARNING):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        dave = await join(nursery, "dave", alice.address, network_id=OTHER_NETWORK)
        await bob.mesh.wait_connected(alice.key)
        while not (alice.count("wrong_network") and dave.count("wrong_network") and not dave.count("links")):
            await trio.lowlevel.checkpoint()
    assert [neighbour.peer for neighbour in alice.mesh.neighbours()] == [bob.key]
    assert dave.mesh.neighbours() == ()
    assert "is of network" in caplog.text


async def test_a_peer_that_returns_is_redialled(nursery):
    """Bob leaves and comes back on the same port without knowing anybody: alice finds him."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await alice.mesh.wait_gossiping(bob.key)
        await bob.leave()
        await alice.mesh.wait_disconnected(bob.key)
        again = await join(nursery, "bob", listen=bob.address.partition("/p2p/")[0])
        await alice.mesh.wait_gossiping(again.key)
        alice.mesh.publish_nowait(b"welcome back")
        await again.inbox.wait_heard(b"welcome back")


async def test_a_killed_peer_is_noticed_and_redialled(nursery):
    """After kill -9 alice notices, and connects again once the process is back on its port."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        process, address = await _spawn(LOCAL, alice)
        key = alice.mesh.neighbours()[0].peer
        process.kill()
        await alice.mesh.wait_disconnected(key)
        await process.wait()
        process, address = await _spawn(address.partition("/p2p/")[0], alice)
        assert await alice.mesh.ask(key, b"you again?") == b"echo you again?"
        process.kill()
        await process.wait()


async def _spawn(listen: str, other: Peer) -> tuple[trio.Process, str]:
    """A process with one peer, which knows nobody; dialled by telling `other` of it through the address book."""
    command = [sys.executable, "-m", "tests.net.lonely", listen, other.address]
    process = await trio.lowlevel.open_process(command, stdout=-1)
    address = (await process.stdout.receive_some()).decode().strip()
    await other.mesh.wait_connected(_key_of(address))
    return process, address


def _key_of(address: str) -> bytes:
    from p2pverify.core.peerid import key_of

    return key_of(address.rpartition("/")[2])


async def test_a_used_port_is_an_error(nursery):
    """Two peers cannot listen on one port, and the error says which and what to do."""
    alice = await join(nursery, "alice")
    with pytest.raises(ListenError, match="another program uses it") as caught:
        async with trio.open_nursery() as inner:
            try:
                await join(inner, "bob", listen=alice.address.partition("/p2p/")[0])
            except ListenError as error:
                inner.cancel_scope.cancel()
                failure = error
        raise failure
    assert alice.address.split("/")[4] in str(caught.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:4001", "/ip4/127.0.0.1/udp/1", "/dns4/example.org/tcp/1", ""])
async def test_a_bad_listening_address_is_refused(listen):
    """What is no address to listen on is a DecodeError before anything is started."""
    async with trio.open_nursery() as inner:
        with pytest.raises(DecodeError):
            await join(inner, "alice", listen=listen)


async def test_leaving_is_quick_and_quiet(nursery):
    """Cancelling a connected, gossiping peer ends it within two seconds and raises nothing."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await alice.mesh.wait_gossiping(bob.key)
        for number in range(50):
            alice.mesh.publish_nowait(b"m%d" % number)
        with trio.fail_after(2):
            await alice.leave()
        await bob.mesh.wait_disconnected(alice.key)


async def test_bootstrap_without_peer_id(nursery):
    """An address without /p2p/ is enough to join, and our own address among them does no harm."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bare = alice.address.partition("/p2p/")[0]
        bob = await join(nursery, "bob", bare, bare.replace("ip4/127.0.0.1", "dns4/localhost"))
        await bob.mesh.wait_connected(alice.key)
        selfish = await join(nursery, "carol", alice.address)
        await selfish.leave()
        again = await join(
            nursery, "carol", selfish.address, bare, listen=selfish.address.partition("/p2p/")[0]
        )
        await again.mesh.wait_connected(alice.key)
    assert seed_of("alice") != alice.key


async def test_a_full_peer_refuses_and_stays_reachable_for_its_own(nursery):
    """With peers_max of one, a second peer is refused, and the first keeps its connection."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", peers_max=1)
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_connected(alice.key)
        carol = await join(nursery, "carol", alice.address)
        while not alice.count("links_refused"):
            await trio.lowlevel.checkpoint()
        assert await bob.mesh.ask(alice.key, b"?") == b"echo ?"
        assert carol.mesh.neighbours() == ()
