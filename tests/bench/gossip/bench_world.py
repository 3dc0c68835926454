"""How the simulated world grows: CPU seconds, and messages per peer and epoch, from 100 to 3,000 peers.

    uv run python -m tests.bench.gossip.bench_world [--peers 100 300 1000 3000] [--epochs 60]

Plays the scenario `scale` in a process of its own for each size; the number of members and of hostile peers is that
of the scenario, so that records per epoch stay the same and what grows is the network that they cross.
"""

import argparse
from resource import RUSAGE_CHILDREN, getrusage
from time import monotonic

from tests.simulation.support import Run


def main() -> None:
    """Play and print a table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--peers", type=int, nargs="+", default=[100, 300, 1000, 3000])
    arguments.add_argument("--epochs", type=int, default=60)
    chosen = arguments.parse_args()
    heads = ("peers", "wall s", "CPU s", "CPU ms/peer-epoch", "records", "cuts", "messages", "new", "peak MB", "broken")
    print("  ".join(f"{head:>{max(7, len(head))}}" for head in heads))
    for peers in chosen.peers:
        began = monotonic()
        (found,) = Run("scale", "1", "--peers", str(peers), "--epochs", str(chosen.epochs)).results()
        cells = (
            str(peers),
            f"{monotonic() - began:.0f}",
            f"{found['cpu_seconds']:.0f}",
            f"{1000 * found['cpu_seconds'] / (peers * chosen.epochs):.2f}",
            str(found["records"]),
            str(found["cuts"]),
            f"{found['messages']:.0f}",
            f"{found['new_messages']:.0f}",
            str(getrusage(RUSAGE_CHILDREN).ru_maxrss // 1024),
            str(len(found["broken"])),
        )
        print("  ".join(f"{cell:>{max(7, len(head))}}" for cell, head in zip(cells, heads, strict=True)), flush=True)


if __name__ == "__main__":
    main()
