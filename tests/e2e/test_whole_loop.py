"""The whole loop of a user: real processes, the real model, the verdict, and the recomputed verdict."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

HOPELESS_S = 900


def p2pverify(*arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process."""
    where = [] if home is None else ["--home", str(home)]
    return subprocess.run(
        [sys.executable, "-m", "p2pverify", *where, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HOPELESS_S,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A testnet with the real model and one peer with a cheaper model. Homes are kept."""
    folder = tmp_path_factory.mktemp("whole-loop")
    report = folder / "report.json"
    done = p2pverify(
        "testnet", "--peers", "5", "--cheat", "prune", "--seed", "7",
        "--keep", folder / "kept", "--json", report,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "kept", json.loads(report.read_text(encoding="utf-8"))


def honest_homes(run: tuple[Path, dict[str, object]]) -> list[Path]:
    folder, report = run
    peers = report["peers"]
    assert isinstance(peers, list)
    return [folder / peer["name"] for peer in peers if peer["cheat"] is None]


def test_the_real_model_finds_the_cheaper_one(run: tuple[Path, dict[str, object]]) -> None:
    """Exactly the cheater is convicted, in a view that all honest peers share."""
    _, report = run
    assert report["verdict"] == "pass"
    assert report["engine"] == "llama"
    assert report["views_agree"] is True
    assert report["honest_convicted"] == []
    assert len(report["cheaters_convicted"]) == 1  # type: ignore[arg-type]


def test_every_honest_export_verifies_to_the_signed_view(run: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    """Another process recomputes it offline: each honest peer's records give the view root of the report."""
    _, report = run
    peer = report["peers"][0]  # type: ignore[index]
    roots = set()
    for number, home in enumerate(honest_homes(run)):
        file = tmp_path / f"{number}.ledger"
        exported = p2pverify("ledger", "export", file, "--cut", peer["cut"], home=home)
        assert exported.returncode == 0, exported.stderr
        verified = p2pverify("ledger", "verify", file, "--json")
        assert verified.returncode == 0, verified.stdout
        document = json.loads(verified.stdout)
        roots.add((document["view_root"], document["ledger_root"]))
        convicted = [score for score in document["scores"] if score["standing"] == "convicted"]
        assert len(convicted) == 1
    assert roots == {(peer["view_root"], peer["ledger_root"])}


def test_an_export_with_one_byte_flipped_fails(run: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    """For any byte, the exit code is 5, with the reason."""
    file = tmp_path / "export.ledger"
    assert p2pverify("ledger", "export", file, home=honest_homes(run)[0]).returncode == 0
    whole = file.read_bytes()
    dice = random.Random(5)
    for at in [0, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(6))]:
        changed = bytearray(whole)
        changed[at] ^= 1 << dice.randrange(8)
        file.write_bytes(bytes(changed))
        verified = p2pverify("ledger", "verify", file, "--json")
        assert verified.returncode == 5
        assert json.loads(verified.stdout)["valid"] is False
    file.write_bytes(whole[:-1])
    truncated = p2pverify("ledger", "verify", file)
    assert truncated.returncode == 5
    assert "hint:" in truncated.stderr


def test_the_decisions_are_what_the_model_computes(run: tuple[Path, dict[str, object]]) -> None:
    """This machine is of the class of the testnet, so it computes the same answers in another process."""
    home = honest_homes(run)[0]
    verified = p2pverify("ledger", "verify", "--rerun", "4", "--json", home=home)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    found = json.loads(verified.stdout)["rerun"]
    assert found["agree"] == found["disputes"] + found["undisputed"] == min(4, found["candidates"]) > 0
