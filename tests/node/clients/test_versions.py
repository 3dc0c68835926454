"""Clients in the overlap of two versions: who answers which, what a name means, and what receipts prove."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import trio

from p2pverify.client.checking import check_receipt
from p2pverify.core.inference.treatment import Rescored
from p2pverify.core.proofs.receipt import can_run
from p2pverify.core.state.lines.versions import Status
from p2pverify.core.window import CheckPolicy
from p2pverify.node.clients.choice import Choice, ModelView, NodeView
from p2pverify.node.clients.desk import LOCAL
from p2pverify.node.clients.order import DoorError
from p2pverify.node.reports.documents.receipt import RECOMPUTED, ReceiptDocument
from p2pverify.testnet.world.world import MANIFEST
from tests.node.clients.test_door import asked_of, order, read
from tests.support.doors import LATER, DoorBench, open_door
from tests.support.lines import VERSION_1, line_world, overlap_world

FIRST, SECOND = MANIFEST.digest, VERSION_1.digest


@pytest.fixture
async def bench(tmp_path):
    with trio.fail_after(60):
        async with open_door(tmp_path, overlap_world(), audit_rate=1) as opened:
            await opened.door.auditor.wait_idle()  # so that it does not find new receipts among the old ones
            yield opened


def keys(bench: DoorBench, *numbers: int) -> set[bytes]:
    return {bench.world.peers[number].machine.key for number in numbers}


async def receipt_of(bench: DoorBench, **changes: object) -> ReceiptDocument:
    opened = bench.door.begin(order(**changes))
    await read(opened)
    found = await bench.door.receipt(opened.document.id, LOCAL)
    assert found is not None
    return found


async def test_each_version_is_asked_of_the_peers_that_serve_it(bench):
    """By default a client gets the version that this node serves. The answers are those of the version's weights."""
    assert (bench.door.own.digest, bench.door.own.is_here) == (SECOND, True)
    found = {}
    for model, peers in ((None, keys(bench, 3, 4, 5)), (SECOND, keys(bench, 3, 4, 5)), (FIRST, keys(bench, 1, 2))):
        for seed in range(6):
            bench.network.asked.clear()
            (found[model],) = await asked_of(bench, model=model, seed=seed)
            assert set(bench.network.asked) <= peers
    assert found[None] == found[SECOND] != found[FIRST]
    assert all(engine._weights == LATER for engine in bench.versions.values())
    assert not bench.versions[bench.world.peers[1].machine.key].asked
    with pytest.raises(DoorError, match="no such model any more"):
        bench.door.begin(order(model=bytes(32)))


async def test_a_name_means_the_current_version_that_somebody_serves(bench, monkeypatch):
    """Else it means the one that most peers serve; with a peer the one that it serves. A digest means one manifest."""
    catalog, stays = bench.door.catalog, bench.world.peers[1].machine.key

    def named(name: str, peer: bytes | None = None) -> list[bytes]:
        return [one.digest for one in catalog.named(name, peer)]

    assert [one.digest for one in catalog.all()] == [SECOND, FIRST]
    assert named("world") == named("story") == [SECOND]
    assert named("world", stays) == named("story", stays) == [FIRST]
    assert named(FIRST.hex()) == [FIRST]
    assert named(SECOND.hex(), stays) == [SECOND]
    assert named("story", bytes(32)) == [SECOND]
    assert named("another") == []
    first, second = (catalog.version_of(catalog.models[digest]) for digest in (FIRST, SECOND))
    assert (first.line, first.number, first.status, first.is_usual) == ("story", 0, Status.OVERLAP, False)
    assert (second.number, second.status, second.is_usual) == (1, Status.CURRENT, True)
    monkeypatch.setattr(NodeView, "serving", lambda _: Counter({FIRST: 2}))
    assert named("world") == [FIRST]
    monkeypatch.setattr(NodeView, "serving", lambda _: Counter())
    assert named("world") == [SECOND]


async def test_a_forgotten_version_can_be_named_no_more(bench, monkeypatch):
    """The state forgets the oldest of many versions. What the network file lists stays."""
    assert bench.door.catalog.find(SECOND) is not None
    latest = bench.world.peers[0].machine.fold.latest
    notes = replace(latest.lines[0], versions=())
    monkeypatch.setattr(latest, "lines", {0: notes})
    monkeypatch.setattr(latest, "served", {})
    monkeypatch.setattr(bench.door._view, "_known", (b"", ()))
    assert bench.door.catalog.find(SECOND) is None
    assert bench.door.own.digest == FIRST


async def test_a_receipt_of_a_later_version_holds_and_says_what_its_passport_shows(bench):
    """The row names the version that the peer served. A receipt without a passport does not show it."""
    network = bench.world.network
    for model in (FIRST, SECOND):
        document = await receipt_of(bench, model=model)
        (checked,) = check_receipt(network, document).answers
        assert checked.facts.question.manifest == checked.facts.served == model
        bare = replace(document, answers=tuple(replace(each, passport=None) for each in document.answers))
        (checked,) = check_receipt(network, bare).answers
        assert (checked.facts.question.manifest, checked.facts.served) == (model, None)


def test_only_a_line_has_versions_that_the_definition_does_not_name():
    """The model of another class is none."""
    network = overlap_world().network
    other = replace(network, manifests=tuple(sorted((*network.manifests, SECOND))))
    for contract, model, runs in (
        (network, FIRST, True),
        (network, SECOND, True),
        (other, SECOND, False),
        (replace(network, lines=()), FIRST, True),
        (replace(network, lines=()), SECOND, False),
    ):
        assert can_run(contract, 0, model) is runs


async def test_own_engine_log_probabilities_and_audits_follow_the_version(bench):
    """An answer is scored with the weights that gave it. A wrong answer of one version is found, of the other not."""
    document = await receipt_of(bench, logprobs=True, peer=bench.world.peers[3].machine.key)
    assert RECOMPUTED in document.answers[0].checked
    document = await receipt_of(bench, model=FIRST, logprobs=True, peer=bench.world.peers[1].machine.key)
    assert RECOMPUTED in document.answers[0].checked
    bench.versions[bench.world.peers[4].machine.key]._weights = bytes([5]) * 32
    await receipt_of(bench, peer=bench.world.peers[4].machine.key, seed=1008)
    await bench.door.auditor.wait_idle()
    assert [audit.found for audit in await bench.door.auditor.book.all()] == [
        Rescored.AGREES,
        Rescored.AGREES,
        Rescored.DIFFERS,
    ]


async def test_a_version_that_is_not_here_is_neither_scored_nor_answered_here(bench, monkeypatch):
    """That is no mismatch. The door has no log-probabilities of it, and says so before it asks."""
    context = bench.world.peers[0].machine.context
    monkeypatch.setattr(context, "held", {SECOND: context.held[SECOND]})
    document = await receipt_of(bench, model=FIRST, peer=bench.world.peers[1].machine.key, seed=9)
    assert document.state == "answered"
    await bench.door.auditor.wait_idle()
    assert await bench.door.auditor.book.all() == []
    assert bench.door.auditor.statistics()["answers of other models, which are not audited"] == 1
    assert bench.door.catalog.models[FIRST].askers.choice.own() is None


async def test_a_panel_is_of_one_version(bench):
    """Three peers and this node serve it, so a panel of three has a majority."""
    document = await receipt_of(bench, policy=CheckPolicy(3, 1), seed=10)
    assert {each.question.manifest for each in document.answers} == {SECOND.hex()}
    assert document.checks[0].agree == 3
    document = await receipt_of(bench, policy=CheckPolicy(3, 1), seed=10, model=FIRST)
    assert {each.own for each in document.answers} == {False, True}  # two peers serve it, and this node still can
    assert document.checks[0].agree == 3


def test_a_peer_that_is_behind_is_asked_only_by_name():
    """So is this node itself, whose own version is retired: it asks others."""
    world = line_world(5, 10, movers=(0, 2, 3, 4), slots_milli=1500)
    machine = world.peers[0].machine
    view = ModelView(NodeView(machine), FIRST)
    late = world.peers[1].machine.key
    (seen,) = view.others()
    assert (seen.peer, seen.model, seen.is_behind, seen.rank) == (late, FIRST, True, None)
    choice = Choice(view, frozenset, random.Random(1))
    assert choice.candidates(10) == []
    assert choice.named(late) == seen
    assert NodeView(machine).serving() == {SECOND: 4}
