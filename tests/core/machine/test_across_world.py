"""Whole networks of different machines in virtual time: small classes, peers of no known class, lying challengers."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from p2pverify.core.contract.classes import ANY, DeterminismClass
from p2pverify.core.contract.network import Network
from p2pverify.core.events import Event, MeasureDone
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.view import view_head
from p2pverify.testnet.world import World
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import ACROSS, FAR_MICRONATS, SimulatedEngine
from tests.support.worlds import casting, convicted, make_world, run_until

CHEAT = 2


class Misjudging(BentActor):
    """Its referee gives all tokens one margin."""

    says = 0

    def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
        if not isinstance(event, MeasureDone):
            return (event,)
        count = len(event.deficits)
        return (MeasureDone(event.job, (self.says,) * count, (False,) * count),)


class Slandering(Misjudging):
    says = FAR_MICRONATS


MAKE = casting({"misjudging": Misjudging, "slandering": Slandering})


def across_audits(world: World, name: int) -> int:
    """The number of audits across classes that a peer has published."""
    records = world.peers[0].machine.context.ledger.records()
    audits = [audit_of(record) for record in records if record.kind == Kind.AUDIT]
    return sum(audit.is_across and audit.challenger == world.peers[name].machine.key for audit in audits)


def dissents(world: World) -> dict[int, int]:
    """Peers with dissents in the first peer's final view, by name."""
    members = world.peers[0].machine.fold.latest.members
    return {world.by_key[key].number: member.dissents for key, member in members.items() if member.dissents}


def test_a_challenger_that_slanders_convicts_itself() -> None:
    """It calls every answer across classes a mismatch. The referees of the others disagree, and four such disputes
    convict it."""
    world = make_world(6, seed=5, kinds={CHEAT: "slandering"}, make=MAKE, classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 0) == {CHEAT}, epochs_max=24)
    assert dissents(world) == {CHEAT: 4}


def test_a_challenger_that_calls_all_answers_matches_loses_where_somebody_looks() -> None:
    """At near ties its measures are wrong. A spot check finds this and convicts no other peer."""
    world = make_world(
        6,
        seed=5,
        kinds={CHEAT: "misjudging"},
        make=MAKE,
        classes=3,
        slots_milli=1500,
        spot_check_permille=1000,
        disputes_per_cut=8,
    )
    assert run_until(world, lambda: convicted(world, 0) == {CHEAT}, epochs_max=24)
    assert set(dissents(world)) == {CHEAT}


@pytest.mark.parametrize("cheats", [False, True])
def test_peers_of_no_known_class_are_judged_across(*, cheats: bool) -> None:
    """They compute on unknown paths, ask and are asked, and a cheater among them is found like any other."""

    def contract(usual: Network) -> Network:
        unknown = DeterminismClass("any", usual.manifests[0], ANY, ANY, 1_000, ACROSS)
        return replace(usual, classes=(*usual.classes[:-1], unknown))

    def engine(actor: Actor) -> SimulatedEngine:
        known = actor.machine.context.class_index
        return SimulatedEngine(150, 150, known if known < 2 else 10 + actor.key[0])

    kinds = {CHEAT: "always-wrong"} if cheats else {}
    world = make_world(9, seed=4, kinds=kinds, classes=3, contract=contract, engine=engine, slots_milli=1500)
    unknown = [peer.number for peer in world.peers if peer.engine.path >= 10]
    assert CHEAT in unknown
    assert len(unknown) == len({world.peers[number].engine.path for number in unknown}) == 3
    if cheats:
        assert run_until(world, lambda: convicted(world, 0) == {CHEAT}, epochs_max=28)
        assert set(dissents(world)) == {CHEAT}
        return
    world.run_epochs(10)
    assert not dissents(world)
    assert all(across_audits(world, name) > 3 for name in unknown)
    members = world.peers[0].machine.fold.latest.members
    assert all(members[world.peers[name].machine.key].agreements > 0 for name in unknown)


def test_in_large_classes_both_kinds_of_slots_convict() -> None:
    """A class of five asks within itself and across classes. The cheater loses disputes of both kinds, with both
    steps."""
    world = make_world(
        10, seed=8, kinds={CHEAT: "always-wrong"}, classes=2, slots_milli=1500, across_percent=50, disputes_per_cut=4
    )
    assert run_until(world, lambda: convicted(world, 0) == {CHEAT}, epochs_max=24)
    lost = dissents(world)
    assert set(lost) == {CHEAT}
    assert 4 <= lost[CHEAT] <= 7
    records = world.peers[0].machine.context.ledger.records()
    differing = [audit for record in records if record.kind == Kind.AUDIT and (audit := audit_of(record)).differ]
    assert {audit.is_across for audit in differing} == {False, True}


def test_any_order_of_a_mixed_networks_records_gives_the_same_view() -> None:
    """The fold of slots within and across classes, with a cheater, does not depend on the order of records."""
    world = make_world(
        7,
        seed=6,
        kinds={CHEAT: "always-wrong"},
        classes=2,
        slots_milli=1500,
        across_percent=50,
        spot_check_permille=200,
    )
    world.run_epochs(12)
    expected = world.peers[0].machine.fold.latest
    records: list[Record] = list(world.peers[0].machine.context.ledger.records())
    for seed in range(5):
        mixed = list(records)
        random.Random(seed).shuffle(mixed)
        fold = Fold(world.network, Ledger())
        for record in mixed:
            for added in fold.ledger.add(record):
                fold.take(added)
        fold.settle()
        assert fold.latest.id == expected.id
        assert view_head(world.network, fold.latest) == view_head(world.network, expected)


def test_without_a_referee_nothing_is_asked_across() -> None:
    """A network without a referee only compares digests, whatever its classes are."""

    def contract(usual: Network) -> Network:
        assert usual.referee
        return replace(usual, referee="", classes=tuple(replace(kind, across=None) for kind in usual.classes))

    world = make_world(4, seed=6, classes=2, contract=contract, slots_milli=1500)
    world.run_epochs(6)
    assert world.peers[0].machine.fold.latest.totals["audits"] > 5
    assert sum(across_audits(world, peer.number) for peer in world.peers) == 0
