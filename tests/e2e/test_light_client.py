"""`ask --bootstrap` in a network of real processes: a light client without home and ledger gets a checked answer."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.transcript import PROGRAM, environment, run
from tests.e2e.test_ask import HOPELESS_S, a_home, honest_testnet

QUESTION = "why is the sky blue?"


def light(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a folder of its own, with a home that does not exist."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(folder / "no home"),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=HOPELESS_S,
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What a light client was told, as soon as peers have a standing."""
    folder = tmp_path_factory.mktemp("light")
    with honest_testnet(folder) as kept:
        deadline = time.monotonic() + HOPELESS_S
        while (found := ask_all(folder, kept)) is None:
            assert time.monotonic() < deadline
            time.sleep(1)
    for name in ("one", "panel"):
        found[f"verify {name}"] = light(folder, "verify", f"{name}.json", "--network", "network.toml")
    return found


def ask_all(folder: Path, kept: Path) -> dict[str, subprocess.CompletedProcess[str]] | None:
    """What a light client is told; None as long as nobody can answer.

    A testnet begins anew, with other addresses, if the machine is too slow for its epochs.
    """
    home = a_home(kept)
    status = run(home, "status", "--json")
    if status.returncode != 0:
        return None
    (folder / "network.toml").write_bytes((kept / "network.toml").read_bytes())
    where = ("--network", "network.toml", "--bootstrap", str(json.loads(status.stdout)["addresses"][0]))
    one = light(folder, "ask", QUESTION, *where, "-o", "one.json", "--force")
    if one.returncode == 4:
        return None
    assert one.returncode == 0, one.stderr
    responder = json.loads((folder / "one.json").read_text())["answers"][0]["peer_id"]
    found = {
        "one": one,
        "panel": light(folder, "ask", QUESTION, *where, "--panel", "3", "-o", "panel.json", "--force"),
        "named": light(folder, "ask", QUESTION, *where, "--peer", responder, "--json"),
        "cut": light(folder, "ask", QUESTION, *where, "--cut", "00" * 32),
    }
    return None if any("no peer can be reached" in each.stderr for each in found.values()) else found


def test_it_names_the_peer_its_score_and_what_it_assumes(asked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """One line about the answer, and one about the view."""
    first, second = asked["one"].stderr.splitlines()
    assert first.startswith("answered by ")
    assert "checked: signature, commitment, class, standing; not compared with other peers; receipt rcpt_" in first
    assert first.endswith("in one.json")
    assert second.startswith("the score is of epoch ")
    assert "founders lie; not proven: that no newer view exists" in second
    assert asked["one"].stdout.endswith("\n")


def test_the_receipts_hold_without_the_network(asked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """They have the passports of the peers that answered."""
    for name in ("one", "panel"):
        done = asked[f"verify {name}"]
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert "two thirds of the peers with weight in this view signed it" in done.stdout


def test_a_panel_and_a_named_peer(asked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """Three peers agree; the named one has answered."""
    assert asked["panel"].returncode == 0, asked["panel"].stderr
    assert "; 3 of 3 peers agree; " in asked["panel"].stderr
    named = json.loads(asked["named"].stdout)
    assert (asked["named"].returncode, asked["named"].stderr) == (0, "")
    assert [one["passport"] is None for one in named["answers"]] == [False]


def test_a_cut_of_another_source(asked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """If the trusted cut is another one, nobody is asked."""
    assert asked["cut"].returncode == 4
    assert asked["cut"].stdout == ""
    assert "not of the trusted one" in asked["cut"].stderr
