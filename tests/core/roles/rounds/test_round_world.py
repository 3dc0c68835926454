"""Peers of the simulated world that train in rounds. Machines, gossip and crashes are real, the trainer is a toy."""

from itertools import pairwise
from typing import Any

import pytest

from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.training.orders import EvaluateOrder, TrainingFailed, TrainingOrder, TrainingOutcome
from p2pverify.testnet.world import World
from tests.support.rounds import round_world, toy_outcome
from tests.support.training import ADAPTED
from tests.support.worlds import convicted, final, restart, run_until


def decided(world: World, number: int = 0) -> int:
    known = final(world, number).rounds.get(0)
    return 0 if known is None else known.decided


def test_rounds_are_decided_and_every_peer_has_the_same_versions() -> None:
    """Two rounds take at most six epochs each. Nobody has a dissent."""
    world = round_world(7, 5)
    assert run_until(world, lambda: decided(world) >= 2, epochs_max=16)
    closed = final(world).rounds[0].closed
    assert all(after.epoch - before.epoch <= 6 for before, after in pairwise(closed))
    made = [[version.manifest for version in notes_of(world.network, final(world, n), 0).versions] for n in range(7)]
    assert all(two == one[: len(two)] for one, two in pairwise(sorted(made, key=len, reverse=True)))
    assert not any(member.dissents for member in final(world).members.values())
    assert world.invariants.faults == []


def test_voters_that_find_otherwise_have_dissents_and_decide_nothing() -> None:
    world = round_world(7, 5, voters_lie=(5, 6))
    assert run_until(world, lambda: decided(world) >= 2, epochs_max=20)
    keys = sorted(peer.key for peer in world.peers)
    assert {key for key, member in final(world).members.items() if member.dissents} == set(keys[5:])
    assert world.invariants.faults == []


def test_voters_of_another_class_abstain() -> None:
    """Who cannot compute an update's bits does not vote on them. Nobody has a dissent, and rounds go on."""

    def outcome(key: bytes, order: TrainingOrder) -> TrainingOutcome:
        others = sorted(peer.key for peer in world.peers)[5:]
        is_other = key in others and isinstance(order, EvaluateOrder)
        return TrainingFailed("another class") if is_other else toy_outcome(order)

    world = round_world(7, 5, outcome=outcome)
    assert run_until(world, lambda: decided(world) >= 2, epochs_max=20)
    assert {over.voters for over in final(world).rounds[0].closed} == {(5, 7)}
    assert not any(member.dissents or member.unopened for member in final(world).members.values())


@pytest.mark.parametrize("changes", [{}, ADAPTED])
def test_voters_know_the_seed_of_a_training_that_they_can_run_again(changes: dict[str, Any]) -> None:
    """Only the seed of noise is a secret."""
    trained: dict[bytes, bytes] = {}
    shown: dict[bytes, bytes] = {}

    def outcome(key: bytes, order: TrainingOrder) -> TrainingOutcome:
        if isinstance(order, EvaluateOrder):
            shown.update({update.author: update.seed for update in order.updates})
        else:
            trained.setdefault(key, order.seed)
        return toy_outcome(order)

    world = round_world(7, 5, outcome=outcome, rounds=1, **changes)
    assert run_until(world, lambda: decided(world) == 1, epochs_max=20)
    assert shown == trained
    assert len(set(shown.values())) == 5


def test_two_voters_die_in_every_phase_and_rounds_go_on() -> None:
    """They start again on their disks. Each round is decided or void; nobody signs twice, and no view splits."""
    world = round_world(7, 5)
    for phase in range(4):
        world.run_epochs(3.3)
        restart(world, phase, phase + 3)
    world.run_epochs(6)
    assert decided(world) >= 2
    assert convicted(world) == set()
    assert world.invariants.faults == []
