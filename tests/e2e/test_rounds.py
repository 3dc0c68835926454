"""Training rounds between five real processes: what they decide is served by all, also if a voter dies in a vote.

It is no quick test, because the nodes make certified cuts of 2.5 s.
"""

import json
import random
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.history.training import HELD_OUT, REPORTED, TrainingRule
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import key_of
from p2pverify.engine.tabular import TabularEngine, decode_model, initial
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.node.data.table import load_schema
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.e2e.test_data import wait_ready
from tests.e2e.test_data_commands import PUBLISHER, SCHEMA
from tests.e2e.test_identity import Lab, Node
from tests.support.training import RULE

NAMES = ("one", "two", "three", "four", "five")
ROWS, HELD, SHOWN, ROUNDS = 60, 16, 4, 2
EPOCH_MS = 2500


def rule_of(schema: bytes, mode: int, keys: list[bytes]) -> TrainingRule:
    """No round begins before all five have rows, because one false update must not decide it."""
    if mode == REPORTED:
        listed = tuple((key, house) for house, key in enumerate(sorted(keys)))
        return replace(RULE, mode=mode, schema=schema, contributors=listed, rounds=1, held_rows=0, f=1)
    return replace(RULE, mode=mode, schema=schema, contributors=(), rounds=ROUNDS, held_rows=SHOWN, f=1)


class TrainedLab(Lab):
    """Five homes, a network whose one line is trained, and a table of rows for each home."""

    def __init__(self, folder: Path, mode: int = HELD_OUT) -> None:
        self.folder = folder
        self.started: list[Node] = []
        self.ids = {}
        for name in NAMES:
            said = run(self.home(name), "init")
            assert said.returncode == 0, said.stderr
            self.ids[name] = said.stdout.split("peer id: ")[1].split()[0]
            config = self.home(name) / "config.toml"
            config.write_text(config.read_text() + '\n[upgrade]\npolicy = "notice"\n')
        (folder / "schema.toml").write_text(SCHEMA, encoding="utf-8")
        schema = load_schema(folder / "schema.toml")
        model = initial(schema)
        (folder / "model").write_bytes(model.encode())
        manifest = tabular_manifest(model, "cells", "MIT", "made for a test")
        founders = [key_of(self.ids[name]) for name in NAMES]
        network, manifests = new_network(
            "rounds", founders, TabularEngine(model).info, known=manifest, epoch_ms=EPOCH_MS, slots_milli=500
        )
        rule = rule_of(schema.id, mode, founders)
        line = ModelLine("cells", network.manifests[0], Publishers((key_of(PUBLISHER),), 1), 1, 4, 4, rule)
        self.network.write_text(dump_network(replace(network, lines=(line,)), manifests))
        for number, name in enumerate(NAMES):
            (folder / f"{name}.csv").write_text(_table(number), encoding="utf-8")


def _table(seed: int) -> str:
    """Rows whose label follows from the radius, with some noise."""
    dice = random.Random(seed)
    lines = ["mean radius,diagnosis"]
    for _ in range(ROWS):
        radius = dice.uniform(8, 20)
        is_large = radius + dice.gauss(0, 1) > 14
        lines.append(f"{radius:.3f},{'malignant' if is_large else 'benign'}")
    return "\n".join(lines) + "\n"


def line_of(node: Node) -> dict:
    return node.get("/v1/rounds")["lines"][0]


def phase_of(node: Node) -> str | None:
    current = line_of(node)["open"]
    return None if current is None else current["phase"]


def versions_of(node: Node) -> list[dict]:
    return node.get("/v1/lines/cells/versions")["versions"]


def wait_decided(node: Node) -> None:
    node.until(lambda: line_of(node)["decided"] == ROUNDS)


def wait_served(node: Node, number: int) -> None:
    node.until(lambda: node.get("/v1/status")["version"]["number"] == number)


def test_two_rounds_and_a_voter_that_dies(tmp_path: Path) -> None:
    made = TrainedLab(tmp_path)
    told = f"--engine tabular --weights {tmp_path / 'model'}"
    try:
        nodes: dict[str, Node] = {}
        for name in NAMES:
            nodes[name] = made.start(name, *(node.address for node in nodes.values()), told=told)
        for node in nodes.values():
            wait_ready(node)
        for name in NAMES:
            commit = ("data", "commit", f"{name}.csv", "--schema", "schema.toml", "--licence", "MIT", "--name", "cells")
            done = run(made.home(name), *commit, "--train", "held-out", "--held", str(HELD), "--json", cwd=made.folder)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["held"] == HELD
        first, doomed = nodes["one"], nodes["five"]
        first.until(lambda: phase_of(first) == "voting" or line_of(first)["decided"] > 0)
        doomed.process.kill()
        doomed.process.wait()
        first.until(lambda: line_of(first)["decided"] > 0)
        nodes["five"] = made.start("five", *(nodes[name].address for name in NAMES[:4]), told=told)
        for node in nodes.values():
            wait_decided(node)
        wait_served(first, versions_of(first)[-1]["number"])  # only then it has the weights
        newest = versions_of(first)[-1]
        assert newest["number"] >= 1
        for node in nodes.values():
            wait_served(node, newest["number"])
            assert versions_of(node)[-1]["manifest"] == newest["manifest"]
            assert (versions_of(node)[-1]["here"], versions_of(node)[-1]["weights"]) == (True, newest["weights"])
        first.until(lambda: len(versions_of(first)[-1]["servers"]) == len(NAMES))
        check_rounds(line_of(first), versions_of(first), made.ids["five"])
        check_audit(made, line_of(first))
        for name in NAMES:
            kept = [path.read_bytes() for path in (made.home(name) / "rounds").rglob(newest["weights"])]
            assert [sha256(data).hex() for data in kept] == [newest["weights"]]
            assert decode_model(kept[0]).weights.any()
    finally:
        for node in made.started:
            node.process.kill()
            node.process.wait()


def test_a_round_of_reported_losses(tmp_path: Path) -> None:
    """Mode 2: nobody shows a row, and the members decide what owners say of theirs. The round can be run again."""
    made = TrainedLab(tmp_path, REPORTED)
    told = f"--engine tabular --weights {tmp_path / 'model'}"
    try:
        nodes: dict[str, Node] = {}
        for name in NAMES:
            nodes[name] = made.start(name, *(node.address for node in nodes.values()), told=told)
        for node in nodes.values():
            wait_ready(node)
        for name in NAMES:
            commit = ("data", "commit", f"{name}.csv", "--schema", "schema.toml", "--licence", "MIT", "--name", "cells")
            done = run(made.home(name), *commit, "--train", "reported", "--held", "0", cwd=made.folder)
            assert done.returncode == 0, done.stderr
        first = nodes["one"]
        first.until(lambda: line_of(first)["decided"] == 1)
        (over,) = [each for each in line_of(first)["closed"] if each["decided"]]
        assert over["gain"] > 0
        assert {row["finding"] for row in over["contributions"]} == {"right"}
        assert max(row["credit"] for row in over["contributions"]) > 0
        done = run(made.home("one"), "train", "audit", f"cells/{over['number']}", "--weights", str(tmp_path / "model"))
        assert "the decided one, to the byte" in done.stdout, done.stderr
    finally:
        for node in made.started:
            node.process.kill()
            node.process.wait()


def check_audit(made: TrainedLab, line: dict) -> None:
    """The last round is run again in a process of its own. Without the blobs it cannot be checked."""
    over = [each for each in line["closed"] if each["decided"]][-1]
    audit = ("train", "audit", f"cells/{over['number']}", "--weights", str(made.folder / "model"))
    done = run(made.home("one"), *audit, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["holds"], said["differences"], said["gain"]) == (True, [], over["gain"])
    assert said["took_ms"] < 1000
    with_file = run(made.home("one"), "ledger", "export", str(made.folder / "run.ledger"))
    assert with_file.returncode == 0, with_file.stderr
    foreign = run(made.home("one"), *audit, "--ledger", str(made.folder / "run.ledger"))
    assert "the decided one, to the byte" in foreign.stdout, foreign.stderr
    for path in (made.home("two") / "rounds").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"p2pverify/update/1"):
            path.unlink()
    lost = run(made.home("two"), *audit)
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "this machine does not have the update of" in lost.stderr


def check_rounds(line: dict, versions: list[dict], doomed: str) -> None:
    """What the report says of the rounds: everybody contributed, and each version has its round."""
    decided = [over for over in line["closed"] if over["decided"]]
    assert (len(decided), line["rounds"], line["open"]) == (ROUNDS, ROUNDS, None)
    assert decided[0]["gain"] > 0
    for over in decided:
        assert len(over["contributions"]) == len(NAMES)
        assert {row["rows"] for row in over["contributions"]} == {ROWS - HELD}
        # Others may have been too slow to get the blobs of the peer that died. They agree on that, too.
        found = {row["finding"] for row in over["contributions"] if row["peer_id"] != doomed or over is not decided[0]}
        assert found == {"right"}
        assert 3 * over["agreed"] > 2 * over["voters"]
        if over["version"] is not None:
            version = versions[over["version"]]
            assert (version["how"], version["grade"], version["round"]["number"]) == (
                "round",
                "decided",
                over["number"],
            )
            assert version["round"]["gain"] == over["gain"]
