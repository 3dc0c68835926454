"""How long a message takes to the last of 16 peers, each in a process of its own, and whether all arrive.

    uv run python -m tests.bench.gossip.bench_processes [--peers 16] [--seconds 10] [--per-second 20]

First with that many messages a second in all, then with that many from each process. Real sockets, the network
adapter whole, one signature check per delivery. Sixteen Python processes share the machine, and whatever else runs on
it shows in these times. Nothing fails here.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Found:
    """The results of all processes."""

    published: int
    last_ms: list[float]  # for each message that reached all peers, the time until it reached the last
    delivered: int
    wanted: int
    cpu_ms: float  # of all processes, per delivery, including all other work of a mesh
    dropped: int


class Process:
    """One peer."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.bench.gossip.one_of_many", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        line = self._process.stdout.readline()
        assert line, "the process ended"
        return line.rstrip()

    def go(self) -> None:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def run(peers: int, per_second: Sequence[int], seconds: int) -> Found:
    """One run; `per_second` is the rate of each process."""
    processes: list[Process] = []
    try:
        bootstrap: list[str] = []
        for place in range(peers):
            expected = (sum(per_second) - per_second[place]) * seconds
            processes.append(Process(place, peers, per_second[place], expected, seconds, *bootstrap))
            bootstrap = bootstrap or [processes[0].hear()]
        for place, process in enumerate(processes):
            if place:
                process.hear()
        for process in processes:
            assert process.hear() == "ready"
        for process in processes:
            process.go()
        reports = [json.loads(process.hear()) for process in processes]
    finally:
        for process in processes:
            process.end()
    return digest(reports, [rate * seconds for rate in per_second])


def digest(reports: list[dict[str, Any]], published: Sequence[int]) -> Found:
    last_ms: list[float] = []
    delivered = 0
    for author, count in enumerate(published):
        for number in range(count):
            times = [t for report in reports if (t := report["took_ms"][author].get(str(number))) is not None]
            delivered += len(times)
            if len(times) == len(reports) - 1:
                last_ms.append(max(times))
    cpu_s = sum(report["cpu_s"] for report in reports)
    dropped = sum(report["dropped"] for report in reports)
    wanted = sum(published) * (len(reports) - 1)
    return Found(sum(published), last_ms, delivered, wanted, 1000 * cpu_s / max(1, delivered), dropped)


def show(title: str, found: Found) -> None:
    line = f"{title}: {found.delivered} of {found.wanted} deliveries"
    if found.last_ms:
        cuts = statistics.quantiles(found.last_ms, n=100)
        line += f", to the last peer p50 {cuts[49]:.0f} ms, p95 {cuts[94]:.0f} ms, max {max(found.last_ms):.0f} ms"
    print(f"{line}, {found.cpu_ms:.2f} CPU-ms per delivery, {found.dropped} frames dropped", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--per-second", type=int, default=20)
    options = parser.parse_args()
    rate, peers = options.per_second, options.peers
    shares = [rate // peers + (place < rate % peers) for place in range(peers)]
    show(f"{rate}/s in all", run(peers, shares, options.seconds))
    show(f"{rate}/s from each", run(peers, [rate] * peers, options.seconds))


if __name__ == "__main__":
    main()
