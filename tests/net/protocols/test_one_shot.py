"""One-shot requests of a visitor that takes no part, with every reaction of the peer."""

import hashlib
from functools import partial

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.net.border.host import DialError
from p2pverify.net.peers import exchange, peer_list
from p2pverify.net.protocols import requests, visitor
from p2pverify.net.protocols.one_shot import ask_peer
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import AskError
from tests.net.real_peers import NETWORK, OTHER_NETWORK, FakeInbox, introduce, join, stranger

SEED = hashlib.sha256(b"a visitor").digest()


class Marks:
    """Counts the calls just before the request is sent."""

    def __init__(self):
        self.count = 0

    async def mark(self):
        self.count += 1
        await trio.lowlevel.checkpoint()


async def _visit(peer, marks, *, network=NETWORK, request=b"question"):
    return (await ask_peer(SEED, network, parse_address(peer.address), request, before=marks.mark)).data


async def test_a_visitor_gets_its_answer(nursery):
    """The responder gets the visitor's key, but no address of it."""

    async def who(request, source):
        return source + request

    marks = Marks()
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(response=who))
        assert await _visit(alice, marks) == sign.public_key(SEED) + b"question"
        await alice.mesh.wait_disconnected(sign.public_key(SEED))
    assert marks.count == 1
    assert alice.mesh._peers._book.addresses(sign.public_key(SEED)) == ()


async def test_an_answer_may_take_its_time(nursery, monkeypatch):
    """The visitor stays connected during the exchanges that the peer begins meanwhile."""
    monkeypatch.setattr(exchange, "INTERVAL_S_MIN", 0.001)
    monkeypatch.setattr(exchange, "INTERVAL_S_MAX", 0.001)
    seen, enough = [], trio.Event()
    decode = visitor.decode_peer_list

    def count(data):
        seen.append(data)
        if len(seen) > 3 * exchange.FAILURES_MAX:
            enough.set()
        return decode(data)

    async def slowly(request, source):
        await enough.wait()
        return b"at last"

    monkeypatch.setattr(visitor, "decode_peer_list", count)
    with trio.fail_after(10):
        alice = await join(nursery, "alice", inbox=FakeInbox(response=slowly))
        assert await _visit(alice, Marks()) == b"at last"


async def test_nothing_is_asked_of_another_network(nursery):
    """The other network is found before the request is sent."""
    marks = Marks()
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        with pytest.raises(DialError, match=NETWORK.hex()):
            await _visit(alice, marks, network=OTHER_NETWORK)
    assert marks.count == 0


async def test_nothing_is_asked_of_who_is_not_there_or_speaks_otherwise(nursery):
    """No request goes to a closed port, to another key than in the address, or to a host without the protocols."""
    marks = Marks()
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        await alice.leave()
        other = mallory.addresses[0].with_peer(alice.key)
        for address in (parse_address(alice.address), other, mallory.addresses[0]):
            with pytest.raises(DialError):
                await ask_peer(SEED, NETWORK, address, b"?", before=marks.mark)
    assert marks.count == 0


async def test_a_peer_that_does_not_answer_has_seen_the_request(nursery):
    """If the peer takes the request and closes, the visitor gets a reason, after the mark."""
    marks = Marks()
    taken = []

    async def take(stream):
        taken.append(await requests.read_frame(stream, 65536))
        raise RuntimeError("breaks off")

    with trio.fail_after(10):
        mallory = await stranger(nursery)
        mallory.handle(peer_list.PROTOCOL, introduce)
        mallory.handle(requests.PROTOCOL, take)
        ask = partial(ask_peer, SEED, NETWORK, mallory.addresses[0], b"secret", before=marks.mark)
        with pytest.raises(AskError, match="reset"):
            await ask()
    assert (marks.count, taken) == (1, [b"secret"])
