"""Peer exchange over real sockets: statements are passed on as signed, and only checked statements are believed."""

import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.limits import Rate
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.peers import exchange, signed_addresses
from p2pverify.net.peers.peer_list import FRAME_BYTES_MAX, PROTOCOL, PeerList, decode_peer_list, encode_peer_list
from p2pverify.net.peers.signed_addresses import SignedAddresses, sign_addresses
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import NETWORK, OTHER_NETWORK, assert_answers, call, introduce, join, seed_of, stranger

NOBODY_THERE = parse_address("/ip4/127.0.0.1/tcp/1")
WILDCARD = parse_address("/ip4/0.0.0.0/tcp/7")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _said_by(name: str, *found: object, seq: int | None = None, network: bytes = NETWORK) -> SignedAddresses:
    return sign_addresses(seed_of(name), network, _now_ms() if seq is None else seq, found or (NOBODY_THERE,))


async def _exchange(link, own: SignedAddresses | None, *others: SignedAddresses) -> PeerList:
    async with await link.open_stream(PROTOCOL) as stream:
        await write_frame(stream, encode_peer_list(PeerList(NETWORK, own, others)))
        return decode_peer_list(await read_frame(stream, FRAME_BYTES_MAX))


async def _tell_until_it_breaks(link, own: SignedAddresses | None) -> None:
    """Send the same list repeatedly, each on its own stream, which is read to its end."""
    while True:
        async with await link.open_stream(PROTOCOL) as stream:
            await write_frame(stream, encode_peer_list(PeerList(NETWORK, own, ())))
            while await stream.read_some():
                pass


async def _meet(nursery):
    """Alice, and the link of mallory, who speaks the protocol by hand."""
    alice = await join(nursery, "alice")
    mallory = await stranger(nursery)
    mallory.handle(PROTOCOL, introduce)
    return alice, await call(mallory, alice)


async def test_a_signed_word_is_passed_on_as_it_is(nursery):
    """Bob gets mallory's own statement from alice unchanged, wildcard included. It does not have the address of her
    connection."""
    with trio.fail_after(10):
        alice, link = await _meet(nursery)
        said = _said_by("mallory", WILDCARD)
        await _exchange(link, said)
        assert [str(a.with_peer(None)) for a in alice.mesh._peers._book.addresses(said.peer)] == [
            "/ip4/127.0.0.1/tcp/7"
        ]
        bob = await stranger(nursery, "bob")
        told = await _exchange(await call(bob, alice), None)
        assert [each for each in told.peers if each.peer == said.peer] == [said]
        assert told.own.is_signed()
        assert [str(address) for address in told.own.addresses] == [alice.address.partition("/p2p/")[0]]


async def test_a_neighbour_is_told_of_another_once(nursery):
    """It is told again only after a new signature, and never its own statement. Another neighbour is told all."""
    with trio.fail_after(10):
        alice, mallory = await _meet(nursery)
        bob = await stranger(nursery, "bob")
        bob.handle(PROTOCOL, introduce)
        link = await call(bob, alice)
        said = _said_by("mallory")
        await _exchange(mallory, said)
        assert said in (await _exchange(link, None)).peers
        assert (await _exchange(link, None)).peers == ()
        newer = _said_by("mallory", seq=said.seq + 1)
        await _exchange(mallory, newer)
        assert (await _exchange(link, None)).peers == (newer,)
        newest = _said_by("mallory", seq=said.seq + 2)
        await _exchange(link, None, newest)
        assert (await _exchange(link, None)).peers == ()
        carol = await call(await stranger(nursery, "carol"), alice)
        assert newest in (await _exchange(carol, None)).peers
        assert len(alice.mesh._peers._told) <= len(alice.mesh._peers._host.links())


async def test_with_many_links_each_is_asked_more_rarely(nursery, autojump_clock, monkeypatch):
    """So the total number of a peer's exchanges does not grow with its links. With few links, each is asked every 10
    s."""
    asked = Counter()

    async def note(_self, link):
        asked[link] += 1

    monkeypatch.setattr(exchange.PeerExchange, "_exchange", note)
    for count in (2, exchange.LINKS_FEW, 8 * exchange.LINKS_FEW):
        links = [f"link {number} of {count}" for number in range(count)]
        host, book = SimpleNamespace(links=lambda n=links: n), SimpleNamespace(bootstrap=())
        mesh = exchange.PeerExchange(host, book, NETWORK, None, None, clock=int, changed=int)
        with trio.move_on_after(1000):
            async with trio.open_nursery() as keeping:
                for link in links:
                    keeping.start_soon(mesh.keep_up, link)
        total = sum(asked[link] for link in links)
        assert total <= 125 * exchange.LINKS_FEW  # the first exchanges come at shorter intervals
        assert total >= 100 * min(count, exchange.LINKS_FEW)
        assert all(asked[link] for link in links)


async def test_hearsay_is_not_passed_on(nursery):
    """Alice tells no peer about a peer that she has never been connected to."""
    with trio.fail_after(10):
        alice, link = await _meet(nursery)
        await _exchange(link, None, _said_by("carol"))
        assert alice.mesh._peers._book.addresses(sign.public_key(seed_of("carol")))
        told = await _exchange(await call(await stranger(nursery, "bob"), alice), None)
        assert told.peers == ()


@pytest.mark.parametrize(
    ("said", "counter"),
    [
        (lambda: replace(_said_by("carol"), signature=bytes(64)), "addresses_unsigned"),
        (lambda: replace(_said_by("carol"), addresses=(WILDCARD,)), "addresses_unsigned"),
        (lambda: _said_by("carol", network=OTHER_NETWORK), "addresses_not_current"),
        (lambda: _said_by("carol", seq=_now_ms() - signed_addresses.EXPIRY_MS), "addresses_not_current"),
        (lambda: _said_by("carol", seq=_now_ms() + signed_addresses.AHEAD_MS_MAX + 60_000), "addresses_not_current"),
    ],
    ids=["no signature", "changed", "other network", "expired", "of the future"],
)
async def test_what_is_said_of_third_peers_is_checked(nursery, said, counter):
    """A false statement is ignored and counted. The sender stays a neighbour, because it may have believed the
    statement."""
    with trio.fail_after(10):
        alice, link = await _meet(nursery)
        await _exchange(link, None, said())
        assert alice.count(counter) == 1
        assert not alice.mesh._peers._book.addresses(sign.public_key(seed_of("carol")))
        await _exchange(link, None)
        assert not link.closed.is_set()


@pytest.mark.parametrize(
    "own",
    [
        lambda: _said_by("carol"),
        lambda: _said_by("mallory", network=OTHER_NETWORK),
        lambda: replace(_said_by("mallory"), seq=1),
    ],
    ids=["another's", "of another network", "changed"],
)
async def test_a_false_word_on_oneself_is_a_fault(nursery, own):
    """The stream ends, the fault is counted, and the statement does not confirm the peer."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        link = await call(await stranger(nursery), alice)
        with pytest.raises(StreamBrokenError):
            await _tell_until_it_breaks(link, own())
        assert alice.count("streams_malformed") >= 1
        assert not alice.mesh.neighbours()
        await assert_answers(nursery, alice)


async def test_a_flood_of_words_and_exchanges_has_a_bound(nursery, monkeypatch):
    """Above its share, a neighbour's statements are not checked and its exchanges are refused. Others are served."""
    monkeypatch.setattr(exchange, "STATEMENTS", Rate(0, 0))
    monkeypatch.setattr(exchange, "POOL_OF_STATEMENTS", Rate(0, 5))
    monkeypatch.setattr(exchange, "POOL_OF_EXCHANGES", Rate(0, 12))
    with trio.fail_after(10):
        alice, link = await _meet(nursery)
        await _exchange(link, None, *(_said_by(f"nobody {n}") for n in range(8)))
        assert alice.count("addresses_over_share") == 3
        with pytest.raises(StreamBrokenError):
            await _tell_until_it_breaks(link, None)
        assert alice.count("peers_exchanges_refused") >= 1


async def test_a_peer_that_moved_is_found_by_its_newer_word(nursery):
    """Bob comes back on another port. Alice knew the old one and hears of the new one from carol."""
    with trio.fail_after(20):
        carol = await join(nursery, "carol")
        bob = await join(nursery, "bob", carol.address)
        alice = await join(nursery, "alice", carol.address)
        await alice.mesh.wait_connected(bob.key)
        await bob.leave()
        await alice.mesh.wait_disconnected(bob.key)
        again = await join(nursery, "bob", carol.address)
        await alice.mesh.wait_connected(bob.key)
        assert again.address != bob.address
        assert alice.mesh._peers._book.statement(bob.key).addresses[0].port == int(again.address.split("/")[4])


async def test_dead_addresses_do_not_hold_up_peers_that_we_know(nursery):
    """While addresses that never answer fill the places for unconfirmed peers, bob, who went away, is redialled."""
    with trio.fail_after(20):
        silent = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nowhere = parse_address(f"/ip4/127.0.0.1/tcp/{silent[0].socket.getsockname()[1]}")
        alice, link = await _meet(nursery)
        bob = await join(nursery, "bob", alice.address)
        await alice.mesh.wait_connected(bob.key)
        await bob.leave()
        await alice.mesh.wait_disconnected(bob.key)
        await _exchange(link, None, *(_said_by(f"nobody {n}", nowhere) for n in range(20)))
        dials = alice.mesh._peers._dials
        while dials[True] < exchange.HEARSAY_DIALS_MAX:
            await trio.lowlevel.checkpoint()
        again = await join(nursery, "bob", listen=bob.address.partition("/p2p/")[0])
        await alice.mesh.wait_connected(again.key)
        assert dials[True] == exchange.HEARSAY_DIALS_MAX
        for listener in silent:
            await listener.aclose()
