"""Joining and leaving: a leave waits until it can be signed, and stays valid over every restart."""

from dataclasses import replace

import pytest

from p2pverify.core.events import Leave, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.core.roles.membership import FORGOTTEN
from p2pverify.core.state.rows import JOIN_EPOCHS
from p2pverify.node.reports.signing import standstill
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import ActorArgs, HonestActor
from tests.support.worlds import casting, make_world, restart

NAME = 3


def membership(world: World, name: int = NAME) -> list[int]:
    key = world.peers[name].machine.key
    chain = world.peers[0].machine.context.ledger.chain(key)
    return [record.kind for record in chain if record.kind in (Kind.JOIN, Kind.LEAVE)]


def is_active(world: World, name: int = NAME) -> bool:
    return world.peers[0].machine.fold.latest.members[world.peers[name].machine.key].active


class Rejoining(HonestActor):
    """Joins again after its leave, if its operator says so."""

    is_told = False

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        if self.is_told:
            self.machine = Machine(args.network, args.seed, 0, args.manifest, args.context_tokens, rejoin=True)


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_leave_lasts_until_the_operator_says_otherwise(restarts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart is no new join. Only `rejoin` is, once, and then it lasts too."""
    world = make_world(4, seed=41, kinds={NAME: "rejoining"}, make=casting({"rejoining": Rejoining}))
    world.run_epochs(4)
    world.peers[NAME].feed(Leave())
    world.run_epochs(2)
    assert not is_active(world)
    for _ in range(restarts):
        restart(world, NAME)
        world.run_epochs(3)
        assert membership(world) == [Kind.JOIN, Kind.LEAVE]
        assert not is_active(world)
        assert world.peers[NAME].machine.context.is_leaving
    counts = world.peers[0].machine.fold.latest.members[world.peers[NAME].machine.key].agreements
    with monkeypatch.context() as patch:
        patch.setattr(Rejoining, "is_told", True)
        restart(world, NAME)
    world.run_epochs(4)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE, Kind.JOIN]
    assert is_active(world)
    restart(world, NAME)
    world.run_epochs(4)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE, Kind.JOIN]
    assert world.peers[0].machine.fold.latest.members[world.peers[NAME].machine.key].agreements >= counts


def test_a_leave_in_the_silence_is_signed_when_it_is_over() -> None:
    """The peer audits nothing until then, and signs its leave first."""
    world = make_world(4, seed=42)
    world.run_epochs(4)
    restart(world, NAME)
    peer = world.peers[NAME]
    assert peer.machine.context.silence.is_on
    peer.feed(Leave())
    assert membership(world) == [Kind.JOIN]
    world.run_epochs(3)
    assert membership(world) == [Kind.JOIN, Kind.LEAVE]
    assert not is_active(world)


def test_a_leave_before_the_first_join_means_no_join() -> None:
    """There is nothing to sign, so the peer stays out."""
    world = make_world(5, seed=43, founders=4)
    late = world.peers[4]
    world.run(world.network.params.genesis_ms - 1)
    world.stop(late)
    world.run_epochs(3)
    world.start(late)
    late.feed(Leave())
    world.run_epochs(4)
    assert not late.machine.context.silence.is_on
    assert membership(world, 4) == []


def test_a_forgotten_identity_signs_nothing_more() -> None:
    """No cut takes its log in any more, so its operator is told to make another one."""
    world = make_world(3, seed=44)
    world.run_epochs(3)
    machine = world.peers[0].machine
    latest, length = machine.fold.latest, machine.context.ledger.head(machine.key)
    rows = {key: member for key, member in latest.members.items() if key != machine.key}
    heads = {key: head for key, head in latest.heads.items() if key != machine.key}
    machine.fold.latest = replace(latest, epoch=latest.epoch + JOIN_EPOCHS, members=rows, heads=heads)
    world.peers[0].feed(Tick())
    assert machine.context.silence.stopped == FORGOTTEN
    assert "p2pverify init" in standstill(machine, world.now_ms)["faulty"]
    assert machine.context.ledger.head(machine.key) == length
