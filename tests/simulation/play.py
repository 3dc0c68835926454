"""Plays simulations of a scenario, one after the other, and prints a line of JSON for each.

python -m tests.simulation.play SCENARIO SEEDS [SEEDS ...] [--peers N] [--epochs E]

SEEDS is a seed, or a slice such as 0-999. The progress goes to stderr. The exit code is 1 if an invariant is broken.
"""

import argparse
import json
import sys
from time import process_time

from p2pverify.testnet.scenario import load_scenario
from p2pverify.testnet.world import World, plan_world


def seed_slice(text: str) -> range:
    """Seeds from the first to the last, both included."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    """Play the simulations. Returns the exit code."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("scenario")
    arguments.add_argument("seeds", type=seed_slice, nargs="+")
    arguments.add_argument("--peers", type=int)
    arguments.add_argument("--epochs", type=int)
    chosen = arguments.parse_args()
    scenario = load_scenario(chosen.scenario)
    seeds = [seed for each in chosen.seeds for seed in each]
    broken = 0
    for number, seed in enumerate(seeds, 1):
        began = process_time()
        world = World(plan_world(scenario, chosen.scenario, peers=chosen.peers, epochs=chosen.epochs, seed=seed))
        world.play()
        statistics = [peer.router.statistics() for peer in world.peers]
        share = len(world.peers) * world.plan.epochs
        newest = world.invariants.newest
        found = {
            "seed": seed,
            "command": world.plan.command,
            "trace": world.trace.digest.hex(),
            "broken": world.invariants.faults,
            "cuts": 0 if newest is None else newest.index,
            "records": len(world.honest[0].machine.context.ledger),
            "convicted": sorted(
                identity.kind
                for identity in world.identities
                if newest is not None and identity.key in newest.members and newest.members[identity.key].is_convicted
            ),
            "messages": sum(count["messages_received"] for count in statistics) / share,
            "new_messages": sum(count["messages_delivered"] for count in statistics) / share,
            "cpu_seconds": round(process_time() - began, 2),
        }
        print(json.dumps(found), flush=True)
        broken += bool(world.invariants.faults)
        print(
            f"{number} of {len(seeds)} played, {broken} broken; the last seed was {seed}", file=sys.stderr, flush=True
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
