"""Light clients in the overlap of two versions: they know the network file alone, and learn the rest from passports."""

import random

import pytest
import trio

from p2pverify.client.checking import check_receipt
from p2pverify.core.proofs.exchange import PassportsWanted, decode_passports
from p2pverify.core.proofs.issuing import Issuer
from p2pverify.core.proofs.passport import PassportFacts, check_passports
from p2pverify.core.window import NO_CHECKS
from p2pverify.engine.language import toy_language
from p2pverify.node.light.client import LightClient, LightWish
from p2pverify.node.light.view import LightView, Trust
from p2pverify.testnet.world.world import MANIFEST
from tests.node.light.test_light import SEED, FakeVisit
from tests.support.doors import DoorBench, open_door
from tests.support.lines import VERSION_1, line_world, overlap_world

FIRST, SECOND = MANIFEST.digest, VERSION_1.digest


@pytest.fixture
async def bench(tmp_path):
    with trio.fail_after(60):
        async with open_door(tmp_path, overlap_world()) as opened:
            yield opened


def light(bench: DoorBench) -> tuple[LightClient, FakeVisit]:
    network, visit = bench.world.network, FakeVisit(bench.drivers)
    trust = Trust(frozenset(network.founders))
    dice = random.Random(3)
    client = LightClient(network, MANIFEST, toy_language(), visit, SEED, trust, lambda: bench.now, dice)
    return client, visit


def shown(issuer: Issuer, manifest: bytes, among: tuple[bytes, ...] = ()) -> list[PassportFacts]:
    """What a peer shows to somebody who asks for the passports of a model."""
    found = issuer.best(PassportsWanted(manifest, among, 16), b"asker")
    assert found is not None
    decoded = decode_passports(found.encode())
    assert decoded is not None
    return check_passports(issuer._fold.network, decoded.certificate, decoded.scores)


def test_the_first_manifest_of_a_line_stands_for_all_its_versions():
    """Another manifest gets the peers that serve exactly it. The rows say which version each peer serves."""
    machine = overlap_world().peers[0].machine
    served = {facts.row.peer: facts.row.manifest for facts in shown(machine.issuer, FIRST)}
    assert sorted(served.values()) == sorted([FIRST] * 2 + [SECOND] * 4)
    moved = {peer for peer, manifest in served.items() if manifest == SECOND}
    assert {facts.row.peer for facts in shown(machine.issuer, SECOND)} == moved
    assert shown(machine.issuer, bytes(32)) == []


async def test_it_asks_for_the_version_that_most_peers_serve(bench):
    """The receipt is of this version, and holds by the passport."""
    client, visit = light(bench)
    await client.look()
    receipt = await client.answer(LightWish("why?", NO_CHECKS), lambda _: None)
    (answer,) = check_receipt(bench.world.network, receipt).answers
    assert answer.facts.question.manifest == answer.facts.served == SECOND
    assert visit.asked[-1] in {bench.world.peers[number].machine.key for number in (0, 3, 4, 5)}


@pytest.mark.parametrize("looks_at_all", [False, True])
async def test_a_named_peer_is_asked_for_the_version_that_it_serves(bench, looks_at_all):
    """Whatever the others serve."""
    client, visit = light(bench)
    stays = bench.world.peers[1].machine.key
    await client.look(None if looks_at_all else stays)
    receipt = await client.answer(LightWish("why not?", NO_CHECKS, stays), lambda _: None)
    (answer,) = check_receipt(bench.world.network, receipt).answers
    assert answer.facts.question.manifest == answer.facts.served == FIRST
    assert visit.asked == [stays]


def test_peers_that_are_behind_come_last_and_count_only_if_all_are():
    """One that is named alone is still shown."""
    world = line_world(5, 10, movers=(0, 2), slots_milli=1500)
    machine = world.peers[0].machine
    rows = [facts.row for facts in shown(machine.issuer, FIRST)]
    assert [row.is_behind for row in rows] == [False] * 2 + [True] * 3
    trust = Trust(frozenset(world.network.founders))
    for among, model, count in (((), SECOND, 2), ((rows[-1].peer,), FIRST, 1)):
        asked = LightView(world.network, FIRST, trust)
        found = machine.issuer.best(PassportsWanted(FIRST, among, 16), b"asker")
        assert found is not None
        asked.take(found.encode(), world.now_ms)
        assert (asked.model, len(asked.others())) == (model, count)
    late = asked.named(rows[-1].peer)
    assert late is not None
    assert (late.is_behind, late.rank) == (True, None)
