"""Runs simulations in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Run:
    """A process that plays simulations; `results` waits for its end."""

    def __init__(self, *arguments: str, hash_seed: str = "0") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.play", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def results(self) -> list[dict[str, Any]]:
        out, err = self._process.communicate()
        assert self._process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]


def play_all(scenario: str, seeds: Sequence[int], *options: str, processes: int = 2) -> list[dict[str, Any]]:
    """The results of all seeds, played in a few processes at once, in the order of the seeds."""
    runs = [Run(scenario, *map(str, seeds[place::processes]), *options) for place in range(processes)]
    found = [result for run in runs for result in run.results()]
    return sorted(found, key=lambda result: seeds.index(result["seed"]))
