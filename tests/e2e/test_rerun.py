"""The decisions of a real testnet are computed again from an export, by a process that took no part in it."""

import json
from pathlib import Path

from tests.cli.transcript import run


def test_the_decisions_of_a_testnet_agree(tmp_path: Path) -> None:
    """One of five peers lies often, so some cases are disputes. The toy engine computes."""
    kept, file = tmp_path / "kept", tmp_path / "run.ledger"
    done = run(tmp_path / "none", "testnet", "toy", "--cheat", "canned@0.4", "--keep", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(kept / "peer2", "ledger", "export", str(file))
    assert done.returncode == 0, done.stderr
    contract = str(kept / "peer2" / "network.toml")
    done = run(tmp_path / "none", "ledger", "verify", str(file), "--network", contract, "--rerun", "all", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["rerun"]
    assert found["agree"] == found["candidates"] == found["disputes"] + found["undisputed"]
    assert found["disputes"] > 0
    assert found["undisputed"] > 0
    done = run(kept / "peer2", "ledger", "verify", "--rerun", "5")
    assert (done.returncode, "5 of 5 agree: " in done.stdout) == (0, True), done.stderr
