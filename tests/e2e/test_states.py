"""A newcomer joins a running network of real processes by its state, and takes part: from a cut that it was told."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from p2pverify.core.encoding import sign
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.support.joined import joined

HOPELESS_S, LOOK_S = 300, 1.0
NOT_RUNNING = 3
TOY = ("--engine", "toy", "--no-mdns")
FOUNDERS = 3


def _until(home: Path, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + HOPELESS_S
    while True:
        done = run(home, "status", "--json")
        assert done.returncode in (0, NOT_RUNNING), done.stderr  # on a busy machine it may answer late
        if done.returncode == 0 and holds(found := json.loads(done.stdout)):
            return dict(found)
        assert time.monotonic() < deadline, done.stdout
        time.sleep(LOOK_S)


def _roots(found: dict[str, Any]) -> dict[int, str]:
    """The view roots of the newest final cuts, by index."""
    return {cut["index"]: cut["view_root"] for cut in found["recent_cuts"]}


def _stored(home: Path) -> tuple[int, int]:
    """The records and the states in a database."""
    with closing(sqlite3.connect(Home(home).database_path)) as database:
        (records,) = database.execute("SELECT count(*) FROM records").fetchone()
        (states,) = database.execute("SELECT count(*) FROM states").fetchone()
    return records, states


def test_a_newcomer_joins_by_a_state(tmp_path: Path) -> None:
    """It has the views of the others, is asked and answers, lacks the old records, and starts from there again."""
    homes = [tmp_path / f"founder {number}" for number in range(FOUNDERS)]
    late, stranger = tmp_path / "late", tmp_path / "stranger"
    for home in (*homes, late, stranger):
        Home(home).init()
    keys = tuple(sorted(sign.public_key(Home(home).load_identity()) for home in homes))
    genesis_ms = int(time.time() * 1000) + 3000
    network, manifests = new_network("states", keys, ToyEngine().info, genesis_ms=genesis_ms, epoch_ms=2000)
    path = tmp_path / "network.toml"
    path.write_text(dump_network(network, manifests))
    with ExitStack() as founders:
        first = founders.enter_context(joined(homes[0], path, *TOY))
        for home in homes[1:]:
            founders.enter_context(joined(home, path, *TOY, "--bootstrap", first))
        known = _until(homes[0], lambda found: found["checkpoint"] is not None)
        cut, bootstrap = known["checkpoint"], ("--bootstrap", first)
        refused = run(stranger, "join", str(path), *TOY, *bootstrap, "--trust", "ab" * 32, "--http", "127.0.0.1:0")
        assert refused.returncode == 1
        assert "has a certificate of the trusted cut" in refused.stderr
        with joined(late, path, *TOY, *bootstrap, "--trust", cut):
            found = _until(late, lambda found: bool(found["own"] and found["own"]["audits"]))
            assert found["began_with"]["by"] == "operator"
            assert found["began_with"]["cut"] == cut
            base = found["began_with"]["epoch"]
            reached = found["final"]["index"]
            theirs = _roots(_until(homes[0], lambda found: found["final"]["index"] >= reached))
            assert theirs[reached] == found["final"]["view_root"]
        records, states = _stored(late)
        assert states == 4
        assert records < _stored(homes[0])[0]
        with joined(late, path, *TOY, *bootstrap, "--trust", cut):
            again = _until(late, lambda found: found["final"]["index"] > reached)
            assert again["began_with"]["epoch"] == base
