"""Runs simulations in separate processes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: A low priority, because other tests with real processes come first.
NICE = 10


class Run:
    """A process that plays simulations. `results` waits for its end."""

    def __init__(self, *arguments: str, hash_seed: str = "0") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.play", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)

    def stop(self) -> None:
        """End the process if it still runs."""
        self._process.kill()
        self._process.communicate()

    def results(self) -> list[dict[str, Any]]:
        out, err = self._process.communicate()
        assert "Traceback" not in err, err
        return [json.loads(line) for line in out.splitlines()]


def start_all(scenario: str, seeds: Sequence[int], *, processes: int = 2) -> list[Run]:
    """Processes that together play all seeds."""
    return [Run(scenario, *map(str, seeds[place::processes])) for place in range(processes)]
