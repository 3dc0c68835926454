"""A member of a network of real processes moves to its next key, and keeps its score."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from p2pverify.core.encoding import sign
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.support.joined import joined

HOPELESS_S = 240
RULES: dict[str, Any] = {"epoch_ms": 2000, "handover_epochs": 15, "dispute_epochs": 4}


def said(home: Path, *arguments: str) -> str:
    done = run(home, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(home: Path) -> dict[str, dict[str, Any]]:
    """The scores of the newest final view, by peer id."""
    return {row["peer_id"]: row for row in json.loads(said(home, "scores", "--json"))["scores"]}


def wait_for(home: Path, peer: str, **least: int) -> dict[str, Any]:
    """The score of a peer once its figures are at least these."""
    deadline = time.monotonic() + HOPELESS_S
    while True:
        row = rows(home).get(peer)
        if row is not None and all(row[name] >= figure for name, figure in least.items()):
            return row
        assert time.monotonic() < deadline, rows(home)
        time.sleep(0.3)


def test_a_member_rotates_its_key_and_keeps_its_score(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("one", "two", "three", "four")]
    for home in homes:
        said(home, "init", "--next-key", str(tmp_path / f"{home.name}.next"))
    keys = sorted(sign.public_key(Home(home).load_identity()) for home in homes)
    network, manifests = new_network(
        "rotating", tuple(keys), ToyEngine().info, genesis_ms=int(time.time() * 1000), **RULES
    )
    path = tmp_path / "network.toml"
    path.write_text(dump_network(network, manifests))
    toy = ("--engine", "toy", "--no-mdns")
    one, last = homes[0], homes[-1]
    old = json.loads(said(last, "identity", "show", "--json"))["peer_id"]
    with ExitStack() as others:
        address = others.enter_context(joined(one, path, *toy))
        for home in homes[1:-1]:
            others.enter_context(joined(home, path, *toy, "--bootstrap", address))
        with joined(last, path, *toy, "--bootstrap", address):
            before = wait_for(one, old, agreements=1, weight=1)
        said(last, "identity", "rotate", "--key", str(tmp_path / "four.next"), "--write", str(tmp_path / "after"))
        new = json.loads(said(last, "identity", "show", "--json"))
        assert (new["takes_over"], new["peer_id"] != old) == (old, True)
        with joined(last, path, *toy, "--bootstrap", address):
            after = wait_for(one, new["peer_id"], weight=1, agreements=before["agreements"])
            assert (after["handovers"], after["dissents"]) == (1, 0)
            assert old not in rows(one)
            wait_for(last, new["peer_id"], agreements=after["agreements"] + 1)
