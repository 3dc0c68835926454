"""The rules change in a network of real processes. One program lacks a feature: it stops, says so, and is upgraded."""

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
NEW = ("--features", str(1 << 7))


def document(home: Path, *command: str) -> dict[str, Any]:
    done = run(home, *command, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait(home: Path, holds: Any, *command: str) -> dict[str, Any]:
    """The first document of a command for which `holds` is true."""
    deadline = time.monotonic() + HOPELESS_S
    while not holds(found := document(home, *command)):
        assert time.monotonic() < deadline, json.dumps(found)[:2000]
        time.sleep(0.3)
    return found


def order(home: Path, *command: str) -> str:
    """Give an order, again until the node may sign it."""
    deadline = time.monotonic() + HOPELESS_S
    while (done := run(home, *command)).returncode:
        assert done.returncode == 4, done.stderr
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.3)
    return done.stdout


def test_a_rule_changes_in_a_running_network(tmp_path: Path) -> None:
    homes = [tmp_path / f"peer-{number}" for number in range(3)]
    keys = []
    for home in homes:
        Home(home).init()
        keys.append(sign.public_key(Home(home).load_identity()))
    network, manifests = new_network(
        "amended",
        tuple(sorted(keys)),
        ToyEngine().info,
        genesis_ms=int(time.time() * 1000),
        epoch_ms=2_000,
        notice_epochs=3,
    )
    path = tmp_path / "network.toml"
    path.write_text(dump_network(network, manifests))
    toy, rules = ("--engine", "toy", "--no-mdns"), ("network", "show", "--rules")
    ended: list[int] = []
    with ExitStack() as stack:
        first = stack.enter_context(joined(homes[0], path, *toy, *NEW))
        near = ("--bootstrap", first)
        stack.enter_context(joined(homes[1], path, *toy, *NEW, *near))
        with joined(homes[2], path, *toy, *near, ended=ended):
            wait(homes[0], lambda found: found["final"] is not None, "status")
            said = order(homes[0], "network", "propose", "--set", "slots_milli=3000", "--feature", "7")
            named = said.split()[-1]
            wait(homes[1], lambda found: found["amendments"], *rules)
            order(homes[1], "network", "approve", named[:16])
            wait(homes[2], lambda found: any(named[:16] in text for text in found["coming"]), "status")
            wait(homes[0], lambda found: found["rules"]["slots_milli"] == 3000, *rules)
            status = wait(homes[2], lambda found: any("needs feature 7" in why for why in found["reasons"]), "status")
            assert not status["ready"]
            held = document(homes[2], *rules)
            assert held["rules"]["slots_milli"] != 3000
            assert held["stopped"] == f"needs feature 7 since cut {status['final']['cut'][:16]}"
        assert ended == [4]
        assert "needs feature 7" in homes[2].with_name("peer-2.log").read_text()
        stack.enter_context(joined(homes[2], path, *toy, *NEW, *near))
        wait(homes[2], lambda found: found["rules"]["slots_milli"] == 3000, *rules)
        wait(homes[2], lambda found: found["ready"], "status")
        assert document(homes[2], *rules)["amendments_in_force"] == 1
