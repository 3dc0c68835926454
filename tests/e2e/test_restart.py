"""A node that restarts without any first peer finds its network again by the address book of its database."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from p2pverify.core.encoding import sign
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.support.joined import joined

HOPELESS_S = 120


def _neighbours(home: Path) -> int:
    done = run(home, "status", "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["neighbours"])


def _wait_neighbour(home: Path) -> None:
    deadline = time.monotonic() + HOPELESS_S
    while not _neighbours(home):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_restart_without_a_first_peer(tmp_path: Path) -> None:
    """The other node does not know where the restarted one is. One damaged row of the book changes nothing."""
    one, other = tmp_path / "one", tmp_path / "other"
    keys = []
    for home in (one, other):
        Home(home).init()
        keys.append(sign.public_key(Home(home).load_identity()))
    network, manifests = new_network(
        "restarted", tuple(sorted(keys)), ToyEngine().info, genesis_ms=int(time.time() * 1000), epoch_ms=3000
    )
    path = tmp_path / "network.toml"
    path.write_text(dump_network(network, manifests))
    toy = ("--engine", "toy", "--no-mdns")
    with joined(one, path, *toy) as address:
        with joined(other, path, *toy, "--bootstrap", address, listens=False):
            _wait_neighbour(other)
        with closing(sqlite3.connect(Home(other).database_path)) as database, database:
            rows = database.execute("SELECT peer, met FROM peers").fetchall()
            assert [(row[0], row[1] > 0) for row in rows] == [(keys[0], True)]
            database.execute("INSERT INTO peers VALUES (?, ?, 0, 0, 0, 0)", (bytes(32), b"damaged"))
        with joined(other, path, *toy, listens=False):
            _wait_neighbour(other)
