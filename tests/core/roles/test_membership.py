"""Joining and leaving: a leave waits until it can be signed, and stays valid over every restart."""

import pytest

from p2pverify.core.events import Leave
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from tests.support.world import MANIFEST, World

NAME = 3


def membership(world: World, name: int = NAME) -> list[int]:
    key = world.peers[name].machine.key
    chain = world.peers[0].machine.context.ledger.chain(key)
    return [record.kind for record in chain if record.kind in (Kind.JOIN, Kind.LEAVE)]


def is_active(world: World, name: int = NAME) -> bool:
    return world.peers[0].machine.fold.latest.members[world.peers[name].machine.key].active


def restart(world: World, *, rejoin: bool = False) -> None:
    world.crash(NAME)
    world.restart(NAME)
    if rejoin:
        peer = world.peers[NAME]
        peer.machine = Machine(world.network, peer.seed, 0, MANIFEST, 4096, rejoin=True)
        world.by_key[peer.machine.key] = peer


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_leave_lasts_until_the_operator_says_otherwise(restarts: int) -> None:
    """A restart is no new join. Only `rejoin` is, once, and then it lasts too."""
    world = World(4, seed=41, cores=4)
    world.run_epochs(4)
    world._handle(world.peers[NAME], Leave())
    world.run_epochs(2)
    assert not is_active(world)
    for _ in range(restarts):
        restart(world)
        world.run_epochs(3)
        assert membership(world) == [Kind.JOIN, Kind.LEAVE]
        assert not is_active(world)
        assert world.peers[NAME].machine.context.is_leaving
    counts = world.peers[0].machine.fold.latest.members[world.peers[NAME].machine.key].agreements
    restart(world, rejoin=True)
    world.run_epochs(4)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE, Kind.JOIN]
    assert is_active(world)
    restart(world)
    world.run_epochs(4)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE, Kind.JOIN]
    assert world.peers[0].machine.fold.latest.members[world.peers[NAME].machine.key].agreements >= counts


def test_a_leave_in_the_silence_is_signed_when_it_is_over() -> None:
    """The peer audits nothing until then, and signs its leave first."""
    world = World(4, seed=42, cores=4)
    world.run_epochs(4)
    restart(world)
    world.run(world.now - world.network.params.genesis_ms)
    peer = world.peers[NAME]
    assert peer.machine.context.silence.is_on
    world._handle(peer, Leave())
    assert membership(world) == [Kind.JOIN]
    world.run_epochs(3)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE]
    assert not is_active(world)


def test_a_leave_before_the_first_join_means_no_join() -> None:
    """There is nothing to sign, so the peer stays out."""
    world = World(5, seed=43, cores=5, founders=4)
    late = world.peers[4]
    late.is_up = False
    world.run_epochs(3)
    world.restart(4)
    world.run(world.now - world.network.params.genesis_ms)
    world._handle(late, Leave())
    world.run_epochs(4)
    assert not late.machine.context.silence.is_on
    assert membership(world, 4) == []
