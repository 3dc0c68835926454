"""Whole networks of different machines in virtual time: small classes, peers of no known class, lying challengers."""

import random
from dataclasses import replace

import pytest

from p2pverify.core.events import MeasureDone, MeasureJob
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.view import view_head
from p2pverify.testnet.world.peer.engine import FAR_MICRONATS
from tests.support.world import Peer, World, always

CHEAT = 2


class Misjudging(World):
    """The cheater's referee gives every token a large margin."""

    says = 0

    def _computed(self, peer: Peer, what: tuple[object, ...]) -> None:
        job = what[2]
        if peer.name == CHEAT and isinstance(job, MeasureJob):
            self._misjudge(peer, job)
        else:
            super()._computed(peer, what)

    def _misjudge(self, peer: Peer, job: MeasureJob) -> None:
        peer.busy = False
        self.running.discard(peer.name)
        count = len(job.tokens)
        self._handle(peer, MeasureDone(job.job, (self.says,) * count, (False,) * count))
        self._start_jobs()


class Slandering(Misjudging):
    says = FAR_MICRONATS


def across_audits(world: World, name: int) -> int:
    """The number of audits across classes that a peer has published."""
    records = world.peers[0].machine.context.ledger.records()
    audits = [audit_of(record) for record in records if record.kind == Kind.AUDIT]
    return sum(audit.is_across and audit.challenger == world.peers[name].machine.key for audit in audits)


def dissents(world: World) -> dict[int, int]:
    """Peers with dissents in the first peer's final view, by name."""
    members = world.peers[0].machine.fold.latest.members
    return {world.by_key[key].name: member.dissents for key, member in members.items() if member.dissents}


def test_a_challenger_that_slanders_convicts_itself() -> None:
    """It calls every answer across classes a mismatch. The referees of the others disagree, and four such disputes
    convict it."""
    world = Slandering(6, seed=5, cores=6, classes=3, slots_milli=1500)
    assert world.run_until(lambda: world.convicted(0) == {CHEAT}, epochs_max=24)
    assert dissents(world) == {CHEAT: 4}


def test_a_challenger_that_calls_all_answers_matches_loses_where_somebody_looks() -> None:
    """At near ties its measures are wrong. A spot check finds this and convicts no other peer."""
    world = Misjudging(6, seed=5, cores=6, classes=3, slots_milli=1500, spot_check_permille=1000, disputes_per_cut=8)
    assert world.run_until(lambda: world.convicted(0) == {CHEAT}, epochs_max=24)
    assert set(dissents(world)) == {CHEAT}


@pytest.mark.parametrize("cheats", [False, True])
def test_peers_of_no_known_class_are_judged_across(*, cheats: bool) -> None:
    """They compute on unknown paths, ask and are asked, and a cheater among them is found like any other."""
    world = World(9, seed=4, cores=9, classes=3, unknown=True, slots_milli=1500)
    unknown = [peer.name for peer in world.peers if world.class_of(peer.name) == 2]
    assert CHEAT in unknown
    for name in unknown:
        world.peers[name].path = 10 + name
    world.peers[CHEAT].lie = always if cheats else None
    if cheats:
        assert world.run_until(lambda: world.convicted(0) == {CHEAT}, epochs_max=28)
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
    world = World(10, seed=8, cores=10, classes=2, slots_milli=1500, across_percent=50, disputes_per_cut=4)
    world.peers[CHEAT].lie = always
    assert world.run_until(lambda: world.convicted(0) == {CHEAT}, epochs_max=24)
    lost = dissents(world)
    assert set(lost) == {CHEAT}
    assert 4 <= lost[CHEAT] <= 7
    records = world.peers[0].machine.context.ledger.records()
    differing = [audit for record in records if record.kind == Kind.AUDIT and (audit := audit_of(record)).differ]
    assert {audit.is_across for audit in differing} == {False, True}


def test_any_order_of_a_mixed_networks_records_gives_the_same_view() -> None:
    """The fold of slots within and across classes, with a cheater, does not depend on the order of records."""
    world = World(7, seed=6, cores=7, classes=2, slots_milli=1500, across_percent=50, spot_check_permille=200)
    world.peers[CHEAT].lie = always
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
    world = World(4, seed=6, cores=4, classes=2, slots_milli=1500)
    assert world.network.referee
    alone = replace(
        world.network, referee="", classes=tuple(replace(kind, across=None) for kind in world.network.classes)
    )
    world.network = alone
    for peer in world.peers:
        peer.machine = world._machine(peer.seed, peer.name)
        world.by_key[peer.machine.key] = peer
    world.run_epochs(6)
    assert world.peers[0].machine.fold.latest.totals["audits"] > 5
    assert sum(across_audits(world, peer.name) for peer in world.peers) == 0
