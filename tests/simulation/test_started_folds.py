"""Folds that start from the bytes of a few states, at every cut of larger worlds, and under late support at every gap.

More worlds: `python -m tests.simulation.test_started_folds 11-99`.
"""

import sys

import pytest

from p2pverify.core.state.memory import NEAR_CARRY, memory_cuts
from tests.support.late_support import BEFORE, LateSupport
from tests.support.started import assert_goes_on_alike, folded
from tests.support.worlds import make_world

SEEDS = (1, 2)
KINDS = ("always-wrong", "double-signer", "hostile-proposer", "forker", "equivocator", "late-support", "non-signer")
PEERS, EPOCHS = 13, 20


def starts_alike(seed: int) -> int:
    """Play a world with hostile peers and two partitions, and start a fold at every cut. Returns how many starts."""
    kinds = {number: KINDS[(seed + number) % len(KINDS)] for number in range(3)}
    world = make_world(PEERS, seed=seed, kinds=kinds, spot_check_permille=300, fork_epochs=4)
    world.run_epochs(5)
    for size in (PEERS // 2, 3):
        world.links.split(dict.fromkeys(range(size), 1), world.peers)
        world.run_epochs(EPOCHS // 5)
        world.links.heal()
        world.run_epochs(EPOCHS // 4)
    ledger = world.honest[-1].machine.context.ledger
    records = sorted(ledger.records(), key=lambda record: (record.epoch, record.author, record.seq))
    full = folded(world.network, records)
    path = full.latest.path
    for at in range(NEAR_CARRY + 1, len(path)):
        assert assert_goes_on_alike(full, path[:at], records) >= len(path) - at
    return len(path) - NEAR_CARRY - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_every_start_in_a_hostile_world_goes_on_alike(seed: int) -> None:
    assert starts_alike(seed) > 5


def test_late_support_at_every_gap_gives_one_result() -> None:
    """Up to the gaps after which the fold has forgotten the supported cut."""
    memory = memory_cuts(LateSupport().book.network.params)
    for gap in range(memory + 3):
        attack = LateSupport()
        attack.support(gap)
        assert attack.convicts is (gap < NEAR_CARRY - 1), gap
        path, records = attack.book.fold.latest.path, attack.book.order
        full = folded(attack.book.network, records)
        for at in {BEFORE + 1, BEFORE + gap + 1}:
            assert assert_goes_on_alike(full, path[: at + 1], records) > 0


if __name__ == "__main__":
    first, _, last = sys.argv[1].partition("-")
    for number in range(int(first), int(last or first) + 1):
        print(f"seed {number}: {starts_alike(number)} starts", flush=True)
