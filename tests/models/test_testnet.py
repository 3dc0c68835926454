"""Testnets with a second real model: exactly the cheaters are convicted, in one class and across classes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from p2pverify.engine.llama import variants
from p2pverify.node.files.manifestfile import ENVIRONMENT

RULES = """
[network]
epoch_ms = 8000
slots_milli = 1000
panel_size = 1
prompt_tokens = 4
answer_tokens = {answer_tokens}
temperature_milli = 800
greedy_percent = 0
anchor_lag = 1
anchor_window = 4
duty_epochs = 8
dispute_epochs = 16
disputes_per_cut = 3
spot_check_permille = 0
fork_epochs = 64
cheat_ppm = {cheat_ppm}
conviction_odds = 1000000
weight_changes_per_cut = 1
growth_epochs = 16
tenure_epochs = 0
honest_ppm = 1000
{more}

[[cheat]]
kind = "{cheat}"
"""
IN_CLASS = '[testnet]\npeers = 5\nseed = 1\ntimeout_s = 900\nweights = "{gemma}"\n'
ACROSS = """[testnet]
peers = 5
seed = 4
timeout_s = 900
weights = "{gemma}"
referee = "llama"

[[path]]
variant = "wheel"
count = 2

[[path]]
variant = "wheel/kv-f16"
count = 3
"""


def play(folder: Path, scenario: str) -> dict[str, object]:
    """The report of a testnet that passes."""
    file, report = folder / "scenario.toml", folder / "report.json"
    file.write_text(scenario)
    done = subprocess.run(
        [sys.executable, "-m", "p2pverify", "testnet", str(file), "--json", str(report)],
        env={**os.environ, ENVIRONMENT: str(folder / "manifests"), variants.ENVIRONMENT: str(folder / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(report.read_text())
    return found


def test_in_one_class(tmp_path: Path, gemma: Path) -> None:
    """No manifest is needed, because all peers compute in one class."""
    rules = RULES.format(answer_tokens=6, cheat_ppm=100_000, more="", cheat="prune")
    assert play(tmp_path, IN_CLASS.format(gemma=gemma) + rules)["verdict"] == "pass"


def test_across_classes(tmp_path: Path, gemma: Path) -> None:
    """Keys and values in q8_0 and in f16 give other bits. The pinned path of llama.cpp judges, by its calibration.
    The cheater has f16, because on the referee's own path every margin is refused, and no threshold is tried.

    A quick calibration bounds the rate of honest mismatches at 7 % only, so a higher rate of cheating is looked for.
    """
    added = subprocess.run(
        [sys.executable, "-m", "p2pverify", "model", "add", str(gemma), "--quick"],
        env={**os.environ, ENVIRONMENT: str(tmp_path / "manifests"), variants.ENVIRONMENT: str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert added.returncode == 0, added.stderr
    rules = RULES.format(answer_tokens=12, cheat_ppm=500_000, more="across_percent = 100", cheat="prune")
    assert play(tmp_path, ACROSS.format(gemma=gemma) + rules)["verdict"] == "pass"
