"""CPU time per delivered message in a saturated mesh of eight: ours, js-libp2p's gossipsub, py-libp2p's stock router.

    uv run python -m tests.bench.gossip.bench_saturated [--rounds 3] [--without py]

Each contender is one process with eight peers, connected all to all; the load is that of `workload`, one check of an
Ed25519 signature per delivery included (ours is the strict one of `sign`, which takes longer than the others').
They run one after another, in rounds, and the median of each is shown. CPU time is what counts: other work on the
machine moves it less than the time on the clock. py-libp2p gets fewer messages at a time, as its queues of 32 lose
what more would bring, and fewer in all, as it is slow. Nothing fails here.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.gossip.workload import MESSAGES, UNDER_WAY, Result
from tests.interop import javascript

PY_MESSAGES = 100
PY_UNDER_WAY = 8
SECONDS_MAX = 300


def commands(directory: Path) -> dict[str, list[str]]:
    """The command that starts each contender."""
    here = Path(__file__).parent
    python = [sys.executable, "-m"]
    return {
        "ours": [*python, "tests.bench.gossip.contender_ours", str(MESSAGES)],
        "js": [*javascript.command(here / "contender_js.mjs", directory), str(MESSAGES), str(UNDER_WAY)],
        "py": [*python, "tests.bench.gossip.contender_py", str(PY_MESSAGES), str(PY_UNDER_WAY)],
    }


def run(command: list[str]) -> Result:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS_MAX)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", choices=("js", "py"), action="append", default=[])
    options = parser.parse_args()
    found: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory() as directory:
        chosen = commands(Path(directory))
        for name in options.without:
            del chosen[name]
        for _ in range(options.rounds):
            for name, command in chosen.items():
                found.setdefault(name, []).append(run(command))
                print(f"  {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    medians = {name: statistics.median(each.cpu_ms for each in results) for name, results in found.items()}
    for name, results in found.items():
        worst = min(each.delivered_percent for each in results)
        ratio = medians["ours"] / medians[name]
        print(
            f"{name:5} {medians[name]:8.3f} CPU-ms per delivery   delivered {worst:5.1f} %   ours is {ratio:.3f} of it"
        )


if __name__ == "__main__":
    main()
