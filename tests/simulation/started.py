"""Plays worlds, and starts folds from the bytes of a few states at cuts of them: each must go on like the whole fold.

python -m tests.simulation.started SEEDS [SEEDS ...] [--kind KIND ...] [--starts N]

SEEDS is a seed, or a slice such as 0-49. Each seed plays one world of each kind, and starts folds at N cuts of it (all
of them by default). A line of JSON is printed for each world. The exit code is 1 if a fold went on differently.
"""

import argparse
import json
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from time import process_time

from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import State
from p2pverify.testnet.scenario import load_scenario
from p2pverify.testnet.world import World, plan_world
from p2pverify.testnet.world.plan import ActorPlan, WorldPlan
from tests.simulation.accounts import AccountsWorld
from tests.simulation.play import seed_slice
from tests.simulation.test_takeover import CHEAP, QUICK
from tests.support.started import assert_goes_on_alike, folded
from tests.support.worlds import make_world

LIARS = ("always-wrong", "double-signer", "hostile-proposer", "forker", "equivocator", "late-support", "non-signer")
PEERS, EPOCHS = 13, 20


@dataclass(slots=True)
class PlayedStarts:
    """What came of one world. `reached` counts what its cuts had to carry over."""

    kind: str
    seed: int
    cuts: int = 0
    records: int = 0
    starts: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    fault: str | None = None
    cpu_seconds: float = 0.0


def hostile(seed: int) -> World:
    """Three hostile peers, and two partitions."""
    kinds = {number: LIARS[(seed + number) % len(LIARS)] for number in range(3)}
    world = make_world(PEERS, seed=seed, kinds=kinds, spot_check_permille=300, fork_epochs=4)
    world.run_epochs(5)
    for size in (PEERS // 2, 3):
        world.links.split(dict.fromkeys(range(size), 1), world.peers)
        world.run_epochs(EPOCHS // 5)
        world.links.heal()
        world.run_epochs(EPOCHS // 4)
    return world


def mixed(seed: int) -> World:
    """A quarter of the peers is hostile, with loss, crashes and a partition."""
    return _of_scenario("mixed", seed, 40, 12)


def survival(seed: int) -> World:
    """Peers come and go."""
    return _of_scenario("survival", seed, 40, 12)


def committees(seed: int) -> World:
    """Forty voters, of whom two lie."""
    actors = (ActorPlan("always-wrong", 2, founders=True),)
    rules = {"epoch_ms": 10_000, "spot_check_permille": 0}
    world = World(WorldPlan("-", seed, 40, 10, 40, 40, actors, rules=rules, **CHEAP))
    world.play()
    return world


def objections(seed: int) -> World:
    """Joiners buy most of the weight and lie together, and the honest peers object."""
    actors = (ActorPlan("takeover", 7, onset_epoch=0, founders=False),)
    world = World(WorldPlan("-", seed, 12, 28, 5, 12, actors, rules={"epoch_ms": 10_000, **QUICK}, **CHEAP))
    world.play()
    return world


def money(seed: int) -> World:
    """Training rounds, erasures and a tariff; in some seeds with a liar."""
    played = AccountsWorld(seed)
    played.play(16)
    return played.world


KINDS: dict[str, Callable[[int], World]] = {
    made.__name__: made for made in (hostile, mixed, survival, committees, objections, money)
}


def _of_scenario(name: str, seed: int, peers: int, epochs: int) -> World:
    world = World(plan_world(load_scenario(name), name, peers=peers, epochs=epochs, seed=seed))
    world.play()
    return world


def _reached(state: State) -> dict[str, int]:
    """What a state carries over: a start without it would go on differently."""
    rounds = [one for one in state.rounds.values() if one.open is not None]
    return {
        "convicted": len(state.convicted),
        "beside": len(state.beside),
        "disputes": len(state.disputes),
        "staged": sum(dispute.round.stage < 3 for dispute in state.disputes.values()),
        "objections": sum(bool(dispute.objections) for dispute in state.disputes.values()),
        "rounds": state.totals.get("decided rounds", 0) + len(rounds),
        "accounts": 0 if state.books is None else len(state.books.accounts),
    }


def play(kind: str, seed: int, starts: int | None = None) -> PlayedStarts:
    """Play a world, and start folds at some or all cuts of its path. Raises AssertionError where one goes on otherwise.

    In odd seeds the records of an epoch arrive in a drawn order.
    """
    began, dice = process_time(), random.Random(seed)
    found, world = PlayedStarts(kind, seed), KINDS[kind](seed)
    ledger = world.honest[-1].machine.context.ledger
    drawn = (lambda record: dice.random()) if seed % 2 else (lambda record: 0.0)
    records = sorted(ledger.records(), key=lambda record: (record.epoch, drawn(record), record.author, record.seq))
    full = folded(world.network, records)
    path = full.latest.path
    places = range(NEAR_CARRY + 1, len(path))
    chosen = places if starts is None or starts >= len(places) else sorted(dice.sample(places, starts))
    found.cuts, found.records, found.reached = len(path), len(records), _reached(full.latest)
    for at in chosen:
        try:
            assert_goes_on_alike(full, path[:at], records)
        except AssertionError as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            found.fault = f"start {at}: {where.line}"
            break
        found.starts += 1
    found.cpu_seconds = round(process_time() - began, 1)
    return found


def main() -> int:
    """Play the worlds. Returns the exit code."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("seeds", type=seed_slice, nargs="+")
    arguments.add_argument("--kind", choices=sorted(KINDS), nargs="+", default=sorted(KINDS))
    arguments.add_argument("--starts", type=int)
    chosen = arguments.parse_args()
    wrong = 0
    for seed in [seed for each in chosen.seeds for seed in each]:
        for kind in chosen.kind:
            found = play(kind, seed, chosen.starts)
            print(json.dumps(asdict(found)), flush=True)
            wrong += found.fault is not None
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
