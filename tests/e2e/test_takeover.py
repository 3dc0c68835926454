"""A majority that is bought, with real processes."""

import json
from pathlib import Path

from tests.cli.transcript import run


def test_a_bought_majority_stops_the_network(tmp_path: Path) -> None:
    """The command checks what honest peers signed and say. The report has the decisions that were computed again."""
    report = tmp_path / "report.json"
    done = run(tmp_path / "none", "testnet", "takeover", "--json", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["verdict"] == "pass"
    assert found["honest_convicted"] == []
    assert found["takeover"]["wrong_disputes"]
    assert found["takeover"]["decisions_that_agree"] > 0
