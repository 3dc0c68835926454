"""Meshes on real sockets: discovery, gossip, leaving and returning."""

import logging
import subprocess
import sys
from dataclasses import dataclass

import pytest
import trio

from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError, GossipVerdict, LocalProtocolError
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.border.sockets import ListenError
from tests.net.real_peers import LOCAL, NETWORK, OTHER_NETWORK, FakeInbox, join, seed_of, stranger


async def test_gossip_reaches_all(nursery):
    """A message of carol reaches alice, her neighbour, and bob through alice."""
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
    """Five peers that know one bootstrap address connect to all others, once to each."""
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
    """A message near the limit and a burst of small messages all arrive. A message above the limit is refused
    locally."""
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
    """A message that bob ignores does not reach carol through him. A message that he accepts does."""
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
    """An exception behind the port is counted, and gossip from the same peer continues."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        bob.mesh.publish_nowait(b"trips up the judge")
        bob.mesh.publish_nowait(b"next")
        await alice.inbox.wait_heard(b"next")
    assert alice.count("judge_errors") == 1


async def test_other_networks_are_sent_away(nursery, caplog):
    """A peer of another network is disconnected with a reason that is counted and logged."""
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
    """Bob leaves and returns on the same port without any known address, and alice finds him."""
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
    """After kill -9 alice notices the loss. She connects again when the process is back on its port, without any known
    address."""
    with trio.fail_after(30):
        alice = await join(nursery, "alice")
        first = await _spawn(LOCAL, alice.address)
        key = key_of(first.address.rpartition("/")[2])
        await alice.mesh.wait_connected(key)
        await first.kill()
        await alice.mesh.wait_disconnected(key)
        second = await _spawn(first.address.partition("/p2p/")[0])
        await alice.mesh.wait_connected(key)
        assert (await alice.mesh.ask(key, b"you again?")).data == b"echo you again?"
        await second.kill()


@dataclass
class _Process:
    process: trio.Process
    address: str

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


async def _spawn(listen: str, *bootstrap: str) -> _Process:
    command = [sys.executable, "-m", "tests.net.lonely", listen, *bootstrap]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    return _Process(process, (await process.stdout.receive_some()).decode().strip())


async def test_a_used_port_is_an_error(nursery):
    """Two peers cannot listen on one port. The error names the port and says what to do."""
    alice = await join(nursery, "alice")
    listen = alice.address.partition("/p2p/")[0]
    mesh = Libp2pNetwork(seed_of("bob"), NETWORK, [listen], (), FakeInbox())
    with pytest.raises(ListenError, match=f"port {listen.split('/')[4]}: another program uses it"):
        await mesh.run()


async def test_ipv4_and_ipv6_at_once(nursery):
    """A peer listens on both, says so in its addresses, and is reached on either."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice", listen=[LOCAL, "/ip6/::1/tcp/0"])
        four, six = alice.mesh.addresses()
        assert (four[:5], six[:5]) == ("/ip4/", "/ip6/")
        bob, carol = await join(nursery, "bob", four), await join(nursery, "carol", six, listen="/ip6/::1/tcp/0")
        await bob.mesh.wait_connected(alice.key)
        await carol.mesh.wait_connected(alice.key)
        await bob.mesh.wait_connected(carol.key)
        assert (await carol.mesh.ask(alice.key, b"six")).data == b"echo six"
    assert {str(link.remote[0]) for link in alice.mesh._host.links()} == {"127.0.0.1", "::1"}


async def test_one_address_in_use_frees_the_others(nursery):
    """If one of several addresses is taken, none stays bound."""
    alice = await join(nursery, "alice")
    taken = alice.address.partition("/p2p/")[0]
    free = LOCAL.replace("127.0.0.1", "127.0.0.2").replace("/0", taken.rpartition("/tcp")[2])
    with pytest.raises(ListenError):
        await Libp2pNetwork(seed_of("bob"), NETWORK, [free, taken], (), FakeInbox()).run()
    await join(nursery, "bob", listen=free)


async def test_a_peer_that_only_dials(nursery):
    """It takes part without a listening address, tells none, and is asked over the connection that it dialled."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        hidden = await join(nursery, "hidden", alice.address, listen=())
        assert hidden.mesh.addresses() == ()
        await alice.mesh.wait_gossiping(hidden.key)
        alice.mesh.publish_nowait(b"to the hidden one")
        await hidden.inbox.wait_heard(b"to the hidden one")
        assert (await alice.mesh.ask(hidden.key, b"over your link")).data == b"echo over your link"


@pytest.mark.parametrize("listen", ["127.0.0.1:4001", "/ip4/127.0.0.1/udp/1", "/dns4/example.org/tcp/1", ""])
async def test_a_bad_listening_address_is_refused(listen):
    """A bad listening address is a DecodeError before anything is started."""
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
    """An address without /p2p/ is enough to join. The peer's own address among them does no harm."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        bare = alice.address.partition("/p2p/")[0]
        bob = await join(nursery, "bob", bare, bare.replace("ip4/127.0.0.1", "dns4/localhost"))
        await bob.mesh.wait_connected(alice.key)
        selfish = await join(nursery, "carol", alice.address)
        await selfish.leave()
        again = await join(nursery, "carol", selfish.address, bare, listen=selfish.address.partition("/p2p/")[0])
        await again.mesh.wait_connected(alice.key)


async def test_a_full_peer_refuses_and_stays_reachable_for_its_own(nursery):
    """With peers_max of one, a second peer is refused, and the first keeps its connection."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice", peers_max=1)
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_connected(alice.key)
        carol = await join(nursery, "carol", alice.address)
        while not alice.count("links_refused"):
            await trio.lowlevel.checkpoint()
        assert (await bob.mesh.ask(alice.key, b"?")).data == b"echo ?"
        assert carol.mesh.neighbours() == ()


async def test_simultaneous_dials_leave_one_connection(nursery):
    """If two hosts dial each other at once, both keep the same connection."""
    with trio.fail_after(20):
        for number in range(5):
            one = await stranger(nursery, f"one {number}")
            other = await stranger(nursery, f"other {number}")
            async with trio.open_nursery() as inner:
                inner.start_soon(one.dial, other.addresses[0])
                inner.start_soon(other.dial, one.addresses[0])
            first, second = one.link(other.peer), other.link(one.peer)
            while not (first and second and first.outbound != second.outbound):
                await trio.lowlevel.checkpoint()
                first, second = one.link(other.peer), other.link(one.peer)
            async with await first.open_stream("/ipfs/ping/1.0.0") as stream:
                await stream.write(b"p" * 32)
                assert await stream.read_exact(32) == b"p" * 32
            assert len(one.links()) == len(other.links()) == 1


async def test_the_excluded_are_left_out_of_the_mesh_and_still_heard(nursery):
    """If bob is excluded, he is in no mesh of alice, but his messages arrive. The last exclusion list counts."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        await alice.mesh.wait_gossiping(bob.key)
        alice.mesh.exclude(frozenset({bob.key}))
        assert [(n.peer, n.in_mesh) for n in alice.mesh.neighbours()] == [(bob.key, False)]
        bob.mesh.publish_nowait(b"evidence")
        await alice.inbox.wait_heard(b"evidence")
        assert alice.count("router_size_excluded") == 1
        alice.mesh.exclude(frozenset())
        assert alice.count("router_size_excluded") == 0
