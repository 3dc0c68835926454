"""The simulated world with members of several classes, whose answers a referee judges, and with faults."""

import pytest

from p2pverify.testnet.faults import Fault, FaultKind
from p2pverify.testnet.world.plan import ActorPlan, WorldPlan
from p2pverify.testnet.world.world import World

RULES = {
    "epoch_ms": 5_000,
    "slots_milli": 1_000,
    "panel_size": 2,
    "prompt_tokens": 8,
    "answer_tokens": 16,
    "temperature_milli": 800,
    "greedy_percent": 20,
    "spot_check_permille": 50,
    "disputes_per_cut": 2,
    "duty_epochs": 8,
    "dispute_epochs": 16,
}


def play(seed: int, epochs: int) -> tuple[World, list[bytes]]:
    """Twelve members of four classes, with loss, crashes and a partition. Two members answer wrongly.

    Returns the world after these epochs, and the digest of all events until the end of each epoch.
    """
    plan = WorldPlan(
        seed=seed,
        peers=12,
        founders=12,
        members=12,
        epochs=24,
        classes=4,
        actors=(ActorPlan("wrong", 2),),
        faults=(Fault(FaultKind.CRASH, 5, 9_000, 3), Fault(FaultKind.PARTITION, 11, 9_000, 3)),
        loss_ppm=20_000,
        duplicate_ppm=10_000,
        rules=RULES,
    )
    world, digests = World(plan), []

    def note(epoch: int) -> bool:
        digests.append(world.trace.digest)
        return epoch == epochs

    world.play(note)
    return world, digests


@pytest.fixture(scope="module")
def played() -> tuple[World, list[bytes]]:
    return play(3, 24)


@pytest.fixture(scope="module")
def world(played: tuple[World, list[bytes]]) -> World:
    return played[0]


def test_the_hostile_are_convicted_across_classes_and_nobody_else(world: World) -> None:
    """All honest views convict exactly these two. The invariants checked every cut."""
    hostile = {peer.key for peer in world.peers if peer.kind != "honest"}
    states = [peer.machine.fold.latest for peer in world.honest]
    assert {state.id for state in states} == {states[0].id}
    assert set(states[0].convicted) == hostile
    members = states[0].members
    assert {member.class_index for member in members.values()} == {0, 1, 2, 3}
    assert all(members[peer.key].dissents == 0 for peer in world.honest)


def test_restarted_challengers_keep_their_evidence(world: World) -> None:
    """A crashed peer finds its evidence on its disk, so no audit of it is void. At most one opening is missing: of the
    dispute in which it sealed its answer before the crash, because it signs nothing of earlier epochs after it.
    """
    state = world.honest[0].machine.fold.latest
    crashed = {int(name) for fault in world.faults if fault.kind is FaultKind.CRASH for name in fault.victims}
    assert crashed
    for peer in world.honest:
        if peer.number in crashed:
            _, _, evidence = peer.disk.read()
            assert evidence
            member = state.members[peer.key]
            assert (member.unopened <= 1, member.void_audits) == (True, 0)


def test_the_same_seed_is_the_same_run(played: tuple[World, list[bytes]]) -> None:
    """Runs with slots across classes are reproducible too, with crashes and a partition."""
    assert play(3, 12)[1] == played[1][:12]
    assert len(set(played[1])) == 24
