"""What free keys cost: one step of the fold and its view root, after days of joins that nobody limits but the rules.

    uv run python -m tests.bench.core.bench_state [--cuts 200]

16 keys join in each cut, as many as a cut takes in, and fall silent. The table of rows is full. CPU time.
"""

import argparse
import statistics
import time

from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.core.state.rows import PLACE_CUTS, WEIGHTLESS_MAX
from p2pverify.core.state.view import view_root
from p2pverify.testnet.world.state_size import part_bytes
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

FOUNDERS = 100


def crowd(steps: Steps, count: int) -> None:
    for number in range(count):
        steps.join(key(f"{steps.latest.index} {number}"))


def full() -> Steps:
    """A table without a free place, whose rows are old."""
    steps = Steps(make_network(seeds(FOUNDERS, "bench state")))
    for founder in steps.network.founders:
        steps.join(founder)
    crowd(steps, WEIGHTLESS_MAX)
    steps.step()  # no cut has room for so many, so nobody proposes this one
    for _ in range(PLACE_CUTS):
        steps.certify(steps.network.founders[0], steps.network.founders)
    view_root(steps.network, steps.latest)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=200)
    cuts = parser.parse_args().cuts
    steps = full()
    founders = steps.network.founders
    spent: dict[str, list[float]] = {"step": [], "ledger root": [], "view root": []}
    for _ in range(cuts):
        crowd(steps, NEW_AUTHORS_MAX)
        begin = time.process_time()
        state = steps.certify(founders[0], founders)
        stepped = time.process_time()
        assert state.ledger_root
        rooted = time.process_time()
        view_root(steps.network, state)
        for name, value in zip(spent, (stepped - begin, rooted - stepped, time.process_time() - rooted), strict=True):
            spent[name].append(1000 * value)
    sizes = part_bytes(steps.latest)
    print(f"{len(steps.latest.members)} rows, {len(steps.latest.heads)} heads, {sum(sizes.values()) / 1e6:.2f} MB")
    for name, values in spent.items():
        print(f"{name:12} median {statistics.median(values):6.1f} ms, worst {max(values):6.1f} ms")
    print(f"together     median {statistics.median(map(sum, zip(*spent.values(), strict=True))):6.1f} ms")


if __name__ == "__main__":
    main()
