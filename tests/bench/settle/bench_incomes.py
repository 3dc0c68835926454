"""What honest peers, idle ones and cheats earn by duties: `python -m tests.bench.settle.bench_incomes`.

It simulates networks as `incomes` describes them, for each rate of lies and each seed, and prints a table. A share is
what a peer has in the end, of what it was paid. The targets: a cheat has nothing left in 95 % of the runs, an idle
challenger owes, and an honest peer is within 20 % of 0.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from statistics import mean, stdev
from time import perf_counter

from tests.bench.settle.incomes import Run, play, vest_epochs

RATES = (1.0, 0.2)


def told(rate: float, vest: int, runs: list[Run]) -> str:
    """One row of the table."""
    shares = [each.share for run in runs for each in run.honest]
    convicted = [run.convicted_epoch for run in runs if run.convicted_epoch is not None]
    assert all(run.total == 0 for run in runs)
    cells = (
        f"{rate:g}",
        f"{vest}",
        f"{len(runs)}",
        f"{len(convicted)}",
        f"{mean(convicted):.1f}" if convicted else "-",
        f"{100 * sum(run.cheat.net <= 0 for run in runs) / len(runs):.1f} %",
        f"{mean(run.cheat.net for run in runs):,.0f}",
        f"{100 * sum(run.idle.net < 0 for run in runs) / len(runs):.1f} %",
        f"{mean(run.idle.net for run in runs):,.0f}",
        f"{100 * mean(shares):+.1f} % (sd {100 * stdev(shares):.1f})",
        f"{100 * sum(abs(share) <= 0.2 for share in shares) / len(shares):.1f} %",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Play, and print the table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runs", type=int, default=8)
    arguments.add_argument("--epochs", type=int, default=40)
    arguments.add_argument("--first-seed", type=int, default=1)
    arguments.add_argument("--processes", type=int, default=1)
    chosen = arguments.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.runs)
    print(
        "| rate | vest | runs | convicted | epoch | cheat <= 0 | mean | idle < 0 | mean | honest share | within 20 % |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    began = perf_counter()
    with ProcessPoolExecutor(chosen.processes) as pool:
        for rate in RATES:
            vest = vest_epochs(rate)
            plays = [pool.submit(play, seed, rate, chosen.epochs, vest) for seed in seeds]
            print(told(rate, vest, [each.result() for each in plays]), flush=True)
    print(f"{len(RATES) * chosen.runs} runs in {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
