"""A bought majority: patient joiners that behave until they have most of the weight, and then lie together.

`p2pverify testnet takeover` plays it with real processes.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.replica.contest import contested_signers, last_uncontested
from p2pverify.core.state.fork import FOR_GOOD, fork, forked_network, read_start, write_start
from p2pverify.core.state.state import State
from p2pverify.core.state.view import scores
from p2pverify.core.state.weights import weighted_peers
from p2pverify.node.driver import Driver
from p2pverify.node.reports.overview import NodeReports
from p2pverify.node.reports.readiness import REFUSES
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.plan import ActorPlan, WorldPlan
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork

#: With these rules there is an admission in every second epoch at most.
QUICK = {"growth_epochs": 10, "tenure_epochs": 0}
#: Numbers of a simulation that cost little.
CHEAP: dict[str, Any] = {"quantum_ms": 150, "heartbeat_ms": 5_000, "degree": 3, "batch_ms": 1, "sync_ms": 6_000}


@dataclass(frozen=True, slots=True)
class Played:
    """A world, and the first epoch in which an honest peer's provisional view convicted an honest peer."""

    world: World
    wronged_epoch: int | None

    @property
    def honest(self) -> frozenset[bytes]:
        return frozenset(peer.key for peer in self.world.honest)

    def hostile_weight(self) -> tuple[int, int]:
        """The weight of the joiners, and of all."""
        state = self.world.honest[0].machine.fold.latest
        return state.total_weight - state.weight_of(self.honest), state.total_weight

    def wrong_signatures(self) -> set[bytes]:
        """The cuts that convict an honest peer and that an honest peer signed."""
        fold = self.world.honest[0].machine.fold
        signed = {
            decode_cut_signature(record.payload).cut
            for record in fold.ledger.records()
            if record.kind == Kind.CUT_SIGNATURE and record.author in self.honest
        }
        return {cut for cut in signed if (state := fold.state(cut)) is not None and state.convicted & self.honest}

    def reasons(self, peer: Peer) -> tuple[str, ...]:
        """What the status and `/readyz` of a peer say at the end."""
        now_ms = self.world.simulation.clock_ms

        async def read() -> tuple[str, ...]:
            driver = Driver(peer.machine, FakeJournal(), FakeEngine(), clock=lambda: now_ms)
            reports = NodeReports(driver, FakeNetwork(), FakeJournal(), FakeEngine().info)
            status = reports.status()
            assert (status.ready, status.reasons) == (False, tuple(reports.unready()))
            return status.reasons

        return trio.run(read)


def play(kind: str, epochs: int, founders: int, joiners: int, onset: int = 0, **rules: int) -> Played:
    peers = founders + joiners
    actors = (ActorPlan(kind, joiners, onset_epoch=onset, founders=False),)
    rules = {"epoch_ms": 10_000, **rules}
    world = World(WorldPlan("-", 1, peers, epochs, founders, peers, actors, rules=rules, **CHEAP))
    honest = {peer.key for peer in world.honest}
    wronged: list[int] = []

    def look(epoch: int) -> None:
        if world.honest[0].machine.provisional(world.simulation.clock_ms).convicted & honest:
            wronged.append(epoch)

    world.play(look)
    return Played(world, wronged[0] if wronged else None)


@pytest.fixture(scope="module")
def majority() -> Played:
    """Between a half and two thirds of the weight lie."""
    return play("takeover", 34, 5, 7, **QUICK)


@pytest.fixture(scope="module")
def quorum() -> Played:
    """More than two thirds of the weight lie."""
    return play("takeover", 40, 4, 9, 24, **QUICK)


def test_a_bought_majority_convicts_nobody_and_the_network_stops(majority: Played) -> None:
    """The honest peers see that decisions are wrong, object, and sign no cut with a wrong conviction."""
    played = majority
    hostile, total = played.hostile_weight()
    assert total / 2 < hostile < total * 2 / 3
    assert played.world.invariants.faults == []
    assert played.wronged_epoch is not None
    for peer in played.world.honest:
        machine = peer.machine
        assert machine.fold.latest.convicted == frozenset()
        assert machine.fold.latest.epoch <= played.wronged_epoch + 2
        assert any(reason.startswith(REFUSES) for reason in played.reasons(peer))
        assert machine.objector.against
    assert played.wrong_signatures() == set()


def test_two_thirds_can_certify_lies_and_honest_views_contest_them(quorum: Played) -> None:
    """The honest peers sign none of these cuts, and say why. Their views name the members that contest a conviction."""
    played = quorum
    machine = played.world.honest[0].machine
    wronged = machine.fold.latest.convicted
    assert wronged
    assert wronged <= played.honest
    rows = {row.peer: row for row in scores(machine.network, machine.fold.latest)}
    assert any(set(rows[peer].contested_by) & played.honest for peer in wronged)
    for peer in played.world.honest:
        assert any(reason.startswith(REFUSES) for reason in played.reasons(peer))
    assert played.wrong_signatures() == set()


def forked(machine: Machine) -> tuple[Network, bytes, State]:
    """What `network fork` makes of one peer's records: the definition, the bytes of the first state, and the cut's."""
    fold, own = machine.fold, {machine.key}
    cut_id = last_uncontested(fold, own)
    assert cut_id is not None
    state = fold.state(cut_id)
    assert state is not None
    start = fork(state, contested_signers(fold, state, own))
    network = forked_network(fold.network, cut_id, start)
    return network, write_start(network, start), state


def go_on(played: Played, kind: str) -> tuple[World, State]:
    """Play the fork that the honest peers make, in which the liars become hostile peers of a kind."""
    old, honest = played.world, played.honest
    liars = {peer.key for peer in old.peers} - honest
    made = [forked(peer.machine) for peer in old.honest]
    network, data, before = made[0]
    assert {each.id for each, _, _ in made} == {network.id}
    assert {written for _, written, _ in made} == {data}
    assert before.convicted == frozenset()
    assert 2 * len(set(weighted_peers(before)) & liars) > before.total_weight
    start = read_start(network, data)
    assert set(weighted_peers(start)) == honest
    actor = ActorPlan(kind, len(liars), founders=False)
    people = [each if each.actor is None else replace(each, actor=actor) for each in old.identities]
    world = World(replace(old.plan, epochs=18), people, network=network, start=start)
    world.play()
    assert world.invariants.faults == []
    for peer in world.honest:
        state = peer.machine.fold.latest
        assert set(weighted_peers(state)) == honest
        assert state.index > before.index + 14
        assert peer.machine.objector.against == frozenset()
        for key, member in state.members.items():
            assert member.agreements > start.members[key].agreements
    return world, start


def test_the_honest_minority_goes_on_without_the_liars_and_convicts_them(majority: Played) -> None:
    """Each honest peer makes the same fork. The liars join it too, with their scores and without weight, and lie."""
    world, _ = go_on(majority, "colluders")
    for peer in world.honest:
        assert peer.machine.fold.latest.convicted == {each.key for each in world.peers} - majority.honest


def test_liars_that_behave_in_the_fork_never_have_weight_again(quorum: Played) -> None:
    """They would buy a majority once more: in this network that takes ten epochs."""
    world, start = go_on(quorum, "takeover")
    liars = {each.key for each in world.peers} - quorum.honest
    for peer in world.honest:
        state = peer.machine.fold.latest
        assert state.convicted == start.convicted == frozenset()
        assert {state.members[key].suspended_until for key in liars} == {FOR_GOOD}


def test_with_the_usual_growth_the_liars_never_have_weight_and_are_convicted() -> None:
    played = play("colluders", 32, 5, 7, 10)
    liars = {peer.key for peer in played.world.peers} - played.honest
    assert played.wronged_epoch is None
    assert played.world.invariants.faults == []
    for peer in played.world.honest:
        state = peer.machine.fold.latest
        assert state.total_weight == len(played.honest)
        assert state.convicted == liars
        assert peer.machine.objector.against == frozenset()
