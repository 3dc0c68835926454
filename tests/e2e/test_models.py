"""Two models in a network of real processes: every node and a light client get answers of both; liars are convicted."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.cli.transcript import PROGRAM, environment
from tests.e2e.test_door import HOPELESS_S, apis, fetch

ASKED = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 30, "seed": 1}


def ask_other(url: str) -> dict[str, Any] | None:
    """The receipt of an answer of the model that this node does not run; None as long as nobody can answer."""
    try:
        own, other = (model["id"] for model in fetch(f"{url}/v1/models")["data"])
        reply = fetch(f"{url}/v1/chat/completions", {**ASKED, "model": other})
        found: dict[str, Any] = fetch(f"{url}/v1/receipts/{reply['p2pverify']['receipt']}")
    except OSError:  # it is starting or stopping, or knows no peers yet
        return None
    assert found["model"] == other != own
    return found


def ask_without_node(folder: Path, kept: Path, url: str, model: str) -> dict[str, Any] | None:
    """The receipt of a light client's full check; None if nobody can answer."""
    try:
        address = fetch(f"{url}/v1/status")["addresses"][0]
    except OSError:
        return None
    where = ("--network", str(kept / "network.toml"), "--bootstrap", address)
    done = subprocess.run(
        [*PROGRAM, "ask", "why?", *where, "--model", f"{model}@n3z1", "--json"],
        env=environment(folder / "no home"),
        capture_output=True,
        text=True,
        check=False,
        timeout=HOPELESS_S,
    )
    if done.returncode in (4, 5):  # no passport counts yet, or the liar is not known yet
        return None
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_both_models_are_served_and_judged(tmp_path: Path) -> None:
    """Four peers serve each toy model, and one of the four lies. All honest peers agree on one view."""
    files = [tmp_path / name for name in ("a.bin", "b.bin")]
    for file in files:
        file.write_text(file.name)
    kept = tmp_path / "kept"
    options = ["--weights", str(files[0]), "--also", str(files[1]), "--cheat", "prune*2", "--peers", "8"]
    options += ["--epoch-ms", "3000"]  # so that there is time to ask on a busy machine
    command = [sys.executable, "-m", "p2pverify", "testnet", "toy", *options, "--timeout", str(HOPELESS_S)]
    receipts: dict[str, dict[str, Any]] = {}
    alone: dict[str, Any] | None = None
    with subprocess.Popen([*command, "--keep", str(kept)], stdout=subprocess.DEVNULL) as testnet:
        while testnet.poll() is None and (len(receipts) < 2 or alone is None):
            time.sleep(0.5)
            for url in apis(kept):
                found = ask_other(url)
                if found is not None:
                    receipts[found["model"]] = found
                    alone = alone or ask_without_node(tmp_path, kept, url, found["model"])
        assert testnet.wait(HOPELESS_S) == 0
    assert receipts.keys() == {"toy-(a)", "toy-(b)"}
    report = json.loads((kept / "report.json").read_text())
    weights = {peer["peer_id"]: peer["weights"] for peer in report["peers"]}
    for found in receipts.values():
        (answer,) = found["answers"]
        assert weights[answer["peer_id"]] == str(tmp_path / f"{found['model'][5]}.bin")
    assert alone is not None
    (check,) = alone["checks"]
    assert check["agree"] + check["differ"] == check["answers"] == 3
    assert len({weights[answer["peer_id"]] for answer in alone["answers"]}) == 1
    cheaters = {peer["name"]: peer["weights"] for peer in report["peers"] if peer["cheat"]}
    assert sorted(report["cheaters_convicted"]) == sorted(cheaters)
    assert set(cheaters.values()) == set(map(str, files))
    assert report["views_agree"]
    assert report["honest_convicted"] == []
