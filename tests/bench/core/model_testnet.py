"""A small model of two cores: when does the default testnet convict its cheaters, over many seeds?

    uv run python -m tests.bench.core.model_testnet [--seeds 40] [--epoch-ms 4000] [--slots-milli 1000]

The same machines as in the testnet, in virtual time, with engine times measured on one core (CPU milliseconds of
writing a prompt, of answering it right after, of answering from scratch) and a share for everything else. The figures
of the default scenario were chosen with it. Seconds are counted from genesis: starting eight processes comes before.
"""

import argparse
import sys
import tomllib
from dataclasses import dataclass
from typing import Any

from p2pverify.core.events import MeasureJob
from p2pverify.core.inference.jobs import QueuedJob
from p2pverify.resources import resource
from p2pverify.testnet.world.peer.engine import Job, SimulatedEngine
from tests.support.worlds import convicted, make_world

EPOCHS_MAX = 45


@dataclass(frozen=True)
class Costs:
    """Engine times in CPU milliseconds."""

    derive: int
    answer_after_derive: int
    answer: int
    overhead_permille: int


class Cores:
    """The cores that all engines share, and the number of busy engines."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.busy = 0


class SharingEngine(SimulatedEngine):
    """Busy engines share the cores evenly, so a job's time grows with their number at its start. An answer is cheaper
    while the engine still holds its prompt."""

    def __init__(self, costs: Costs, cores: Cores) -> None:
        super().__init__(0, 0, 0)
        self._costs = costs
        self._cores = cores
        self._held: object = None
        self._lasts_ms = 0

    def start(self, now_ms: int) -> tuple[QueuedJob[Job] | None, list[QueuedJob[Job]]]:
        entry, dropped = super().start(now_ms)
        if entry is not None:
            self._cores.busy += 1
            self._lasts_ms = int(self._cost_ms(entry.job) * max(1.0, self._cores.busy / self._cores.count))
        return entry, dropped

    def finish(self) -> None:
        super().finish()
        self._cores.busy -= 1
        self._lasts_ms = 0

    def lasts_ms(self, job: Job) -> int:
        return self._lasts_ms if self._running is not None and job is self._running.job else 0

    def _cost_ms(self, job: Job) -> int:
        assert not isinstance(job, MeasureJob)  # there is one class
        cost = self._costs.derive if job.prompt_seed is not None else 0
        if job.ask.tokens_max:
            holds = job.prompt_seed is not None or job.ask.prompt == self._held
            cost += self._costs.answer_after_derive if holds else self._costs.answer
        self._held = job.ask.prompt
        return cost + cost * self._costs.overhead_permille // 1000


def run(seed: int, costs: Costs, rules: dict[str, Any], cores: int) -> dict[str, float]:
    """Seconds from genesis until every honest peer's final view convicts, by cheater."""
    cheaters = {"prune": 2, "canned": 5}
    shared = Cores(cores)
    world = make_world(
        8,
        seed=seed,
        kinds={2: "always-wrong", 5: "wrong"},
        rate_ppm=333_333,
        engine=lambda _: SharingEngine(costs, shared),
        **rules,
    )
    honest = [peer.number for peer in world.honest]
    at: dict[str, float] = {}
    while len(at) < len(cheaters) and world.now_ms < world.network.params.epoch_start_ms(EPOCHS_MAX):
        world.run_epochs(0.25)
        found = set.intersection(*(convicted(world, name) for name in honest))
        assert found <= set(cheaters.values()), f"seed {seed} convicts an honest peer"
        for kind, name in cheaters.items():
            if name in found:
                at.setdefault(kind, (world.now_ms - world.network.params.genesis_ms) / 1000)
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
