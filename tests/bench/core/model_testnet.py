"""A small model of two cores: when does the default testnet convict its cheaters, over many seeds?

    uv run python -m tests.bench.core.model_testnet [--seeds 40] [--epoch-ms 4000] [--slots-milli 1000]

The same machines as in the testnet, in virtual time, with engine times measured on one core (CPU milliseconds of
writing a prompt, of answering it right after, of answering from scratch) and a share for everything else. The figures
of the default scenario were chosen with it. Seconds are counted from genesis: starting eight processes comes before.
"""

import argparse
import sys
import tomllib

from p2pverify.resources import resource
from tests.support.costs import Costs
from tests.support.world import World, always, share

EPOCHS_MAX = 45


def run(seed: int, costs: Costs, rules: dict[str, int], cores: int) -> dict[str, float]:
    """Seconds from genesis until every honest peer's final view convicts, by cheater."""
    world = World(8, seed=seed, costs=costs, cores=cores, **rules)
    cheaters = {"prune": 2, "canned": 5}
    world.peers[cheaters["prune"]].lie = always
    world.peers[cheaters["canned"]].lie = share(1 / 3)
    honest = [peer.name for peer in world.peers if peer.name not in cheaters.values()]
    at: dict[str, float] = {}
    while len(at) < len(cheaters) and world.now < world.network.params.epoch_start_ms(EPOCHS_MAX):
        world.run_epochs(0.25)
        convicted = set.intersection(*(world.convicted(name) for name in honest))
        assert convicted <= set(cheaters.values()), f"seed {seed} convicts an honest peer"
        for kind, name in cheaters.items():
            if name in convicted:
                at.setdefault(kind, (world.now - world.network.params.genesis_ms) / 1000)
    return at


def main() -> None:
    """Print the distribution."""
    scenario = tomllib.loads((resource("testnet") / "scenarios" / "default.toml").read_text(encoding="utf-8"))
    rules = {key: value for key, value in scenario["network"].items() if key != "honest_ppm"}
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=40)
    arguments.add_argument("--cores", type=int, default=2)
    arguments.add_argument("--derive-ms", type=int, default=140)
    arguments.add_argument("--answer-ms", type=int, default=170)
    arguments.add_argument("--scratch-ms", type=int, default=230)
    arguments.add_argument("--overhead-permille", type=int, default=400)
    arguments.add_argument("--epoch-ms", type=int, default=rules["epoch_ms"])
    arguments.add_argument("--slots-milli", type=int, default=rules["slots_milli"])
    arguments.add_argument("--disputes-per-cut", type=int, default=rules["disputes_per_cut"])
    chosen = arguments.parse_args()
    rules |= {name: getattr(chosen, name) for name in ("epoch_ms", "slots_milli", "disputes_per_cut")}
    costs = Costs(chosen.derive_ms, chosen.answer_ms, chosen.scratch_ms, chosen.overhead_permille)
    found: dict[str, list[float]] = {"prune": [], "canned": []}
    for seed in range(chosen.seeds):
        at = run(seed, costs, rules, chosen.cores)
        for kind, times in found.items():
            times.append(at.get(kind, float("inf")))
        print(f"\rseed {seed + 1}/{chosen.seeds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"{'cheater':<8} {'median':>8} {'p90':>8} {'max':>8}   seconds after genesis, {chosen.seeds} seeds")
    for kind, times in found.items():
        times.sort()
        p90 = times[min(len(times) - 1, len(times) * 9 // 10)]
        print(f"{kind:<8} {times[len(times) // 2]:>8.0f} {p90:>8.0f} {times[-1]:>8.0f}")


if __name__ == "__main__":
    main()
