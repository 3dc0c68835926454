"""Worlds in which half of the peers forget old records: equal cuts and roots, and nobody honest signs two ways.

The worlds here have a shorter horizon than real ones, so that it is reached soon. With the real one, and more seeds:
`python -m tests.simulation.test_histories 11-19 300`, seeds and epochs.
"""

import sys

import pytest

from p2pverify.core.replica import horizon
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.memory import memory_cuts
from p2pverify.testnet.world import World
from tests.support.worlds import make_world

SEEDS = (1,)
KINDS = ("forker", "double-signer", "equivocator", "late-support", "hostile-proposer", "backdater", "non-signer")
PEERS, EPOCHS = 8, 44


def play(seed: int, epochs: int) -> World:
    """Play a world with hostile peers, a partition, and a peer that is killed twice. Checks it at the end."""
    kinds = {number: KINDS[(seed + number) % len(KINDS)] for number in (2, 6)}
    world = make_world(PEERS, seed=seed, kinds=kinds, archives=PEERS // 2, fork_epochs=4, disk_ms=50)
    victim = world.peers[PEERS - 1]
    for part in range(4):
        world.run_epochs(epochs // 4 - 2)
        if part % 2:
            world.links.split(dict.fromkeys(range(2), 1), world.peers)
        else:
            world.stop(victim)
        world.run_epochs(2)
        world.links.heal()
        world.start(victim)
    world.run_epochs(3)
    check(world)
    return world


def check(world: World) -> None:
    folds = [peer.machine.fold for peer in world.honest]
    newest = max(fold.latest.index for fold in folds)
    reached = [fold.latest for fold in folds if fold.latest.index == newest]
    assert len({state.id for state in reached}) == 1
    assert min(fold.latest.index for fold in folds) >= newest - 1
    assert len({state_root(world.network.id, state) for state in reached}) == 1
    assert not any(reached[0].members[peer.key].is_convicted for peer in world.honest)
    assert not world.invariants.faults
    for peer in world.honest:
        assert peer.machine.context.silence.stopped == ""
        assert peer.machine.context.ledger.is_whole is (peer.number < world.plan.archives)


@pytest.mark.parametrize("seed", SEEDS)
def test_peers_that_forget_and_archives_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "PRUNE_CUTS", 4)
    monkeypatch.setattr(horizon, "horizon_cuts", lambda params: memory_cuts(params) // 2)
    world = play(seed, EPOCHS)
    held = [len(peer.machine.context.ledger) for peer in world.peers]
    assert max(held[PEERS // 2 :]) < min(held[: PEERS // 2])


if __name__ == "__main__":
    first, _, last = sys.argv[1].partition("-")
    for number in range(int(first), int(last or first) + 1):
        played = play(number, int(sys.argv[2]) if len(sys.argv) > 2 else 300)
        print(f"seed {number}: records held {[len(peer.machine.context.ledger) for peer in played.peers]}", flush=True)
