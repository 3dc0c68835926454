"""A whole node under a flood: hundreds of keys, junk and requests from many peers, and one honest neighbour."""

import itertools
import os
from pathlib import Path

import pytest
import trio

from p2pverify.core import admission
from p2pverify.core.inference.question import Question, Request, encode_request, sign_request
from p2pverify.core.limits import Rate
from p2pverify.core.replica.strangers import non_members
from p2pverify.node.messages import encode_batches
from p2pverify.node.ports import AskError
from tests.attack.live import PATIENCE_S, Author, Live, Node, start_both, until
from tests.net.real_peers import Peer, join, seed_of

FLOODERS = 4
KEYS_EACH = 60
RECORDS_EACH = 18  # more than a non-member's own share
ASKERS = 3


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach: the same code with smaller tables."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 40)
    monkeypatch.setattr(non_members, "SHARED_RECORDS_MAX", 50)
    monkeypatch.setattr(admission, "POOL_OF_STRANGERS", Rate(per_second=100, burst=1500))


def _held_of_strangers(node: Node) -> int:
    ledger, members = node.context.ledger, node.context.fold.latest.members
    return sum(ledger.held(head[0]) for head in ledger.heads() if head[0] not in members)


def _messages(node: Node, flooder: int) -> list[bytes]:
    """Batches of well-formed, signed records of unknown keys."""
    found: list[bytes] = []
    for number in range(KEYS_EACH):
        author = Author(node.context.network_id, f"key {flooder}/{number}")
        found += encode_batches(author.any(node.epoch).data for _ in range(RECORDS_EACH))
    return found


async def _flood(peer: Peer, messages: list[bytes]) -> None:
    for message in messages:
        peer.mesh.publish_nowait(message)
        await trio.lowlevel.checkpoint()


async def _ask_on(peer: Peer, name: str, node: Node) -> None:
    """Ask well-formed questions repeatedly, each when the last one is answered or refused."""
    context = node.context
    for number in itertools.count():
        question = Question(context.network.classes[0].manifest, (number + 1,), 64, 0, os.urandom(16), peer.key)
        asked = Request(context.network_id, peer.key, node.key, question.id, os.urandom(32), node.epoch + 8)
        try:
            data = encode_request(asked, question, sign_request(seed_of(name), asked))
            await peer.mesh.ask(node.key, data, tokens_max=question.tokens_max)
        except AskError:
            await trio.lowlevel.checkpoint()


async def _own_records_arrive(live: Live) -> None:
    """Wait until the honest neighbour's last record reaches the node."""
    head = live.neighbour.context.ledger.head(live.neighbour.key)
    assert head is not None
    await until(lambda: head[2] in live.node.context.ledger, "the neighbour's newest record is here")


async def test_a_flood_costs_the_flooders(
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tight: None,
) -> None:
    """The neighbour is answered during the flood, its records arrive, and memory stays bounded."""
    with trio.fail_after(15 * PATIENCE_S):
        live = await start_both(nursery, tmp_path, monkeypatch, caplog)
        node = live.node
        await until(lambda: live.neighbour.key in node.context.fold.latest.members, "the neighbour is a member")
        before = len(node.context.ledger)
        async with trio.open_nursery() as flood, trio.open_nursery() as publishing:
            options = {"network_id": node.context.network_id}
            for number in range(FLOODERS):
                peer = await join(flood, f"flooder {number}", node.address, **options)
                await peer.mesh.wait_gossiping(node.key)
                publishing.start_soon(_flood, peer, _messages(node, number))
            junk = await join(flood, "junk", node.address, **options)
            await junk.mesh.wait_gossiping(node.key)
            publishing.start_soon(_flood, junk, [os.urandom(200) for _ in range(50)])
            for number in range(ASKERS):
                name = f"asker {number}"
                peer = await join(flood, name, node.address, **options)
                await peer.mesh.wait_connected(node.key)
                for _ in range(5):
                    flood.start_soon(_ask_on, peer, name, node)
            for _ in range(3):
                await live.answers()
                await _own_records_arrive(live)
            await until(lambda: node.count("driver batches beyond a neighbour's share") > 0, "a share is used up")
            await until(lambda: node.count("driver records of strangers beyond their bound") > 0, "a table is full")
            await until(lambda: node.count("net asks_refused_busy") > 0, "somebody asked too much")
            await until(lambda: node.count("driver malformed gossip*") > 0, "junk was told from records")
            assert _held_of_strangers(node) <= 40 * non_members.STRANGER_RECORDS_MAX + 50 + 1
            assert len(node.context.ledger) - before < FLOODERS * KEYS_EACH * RECORDS_EACH
            flood.cancel_scope.cancel()
        await live.answers()
        await _own_records_arrive(live)
    assert not list(live._complaints())
