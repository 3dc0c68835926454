"""A round of the bundled language model between three real processes: two contribute texts, and all three vote.

Each process needs about 1.2 GB. They train and judge by themselves as soon as texts are offered.
"""

import json
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import key_of
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.lora.adapter import decode_adapter
from p2pverify.node.data.table import load_row_schema
from p2pverify.node.files.networkfile import dump_network, new_network
from tests.cli.transcript import run
from tests.e2e import test_identity
from tests.e2e.test_data import wait_ready
from tests.e2e.test_data_commands import PUBLISHER
from tests.e2e.test_identity import Lab, Node
from tests.e2e.test_rounds import line_of, wait_served
from tests.support.lora import TEXTS

NAMES = ("one", "two", "three")
OWNERS = NAMES[:2]
EPOCH_MS = 20_000
HELD = 2
SCHEMA = 'text = "note"\nbytes_max = 300\n'
QUESTION = "What is noted of the wheat?"


class AdaptedLab(Lab):
    """Three homes, a network whose one line is trained, and a table of texts for each owner."""

    def __init__(self, folder: Path, rule: TrainingRule) -> None:
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
        for number, name in enumerate(OWNERS):
            lines = [json.dumps({"note": text.decode()}) for text in TEXTS[6 * number : 6 * number + 6]]
            (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        engine = LlamaEngine(weights.bundled(), expect_sha256=weights.SHA256)
        founders = [key_of(self.ids[name]) for name in NAMES]
        network, manifests = new_network(
            "adapted", founders, engine.info, epoch_ms=EPOCH_MS, slots_milli=300, answer_tokens=8, long_permille=0,
            long_tokens=0,
        )  # fmt: skip
        engine.close()
        own = replace(rule, schema=load_row_schema(folder / "schema.toml").id, rounds=1, seal_cuts=60, open_cuts=60)
        line = ModelLine("notes", network.manifests[0], Publishers((key_of(PUBLISHER),), 1), 1, 4, 4, own)
        self.network.write_text(dump_network(replace(network, lines=(line,)), manifests))


def answer_of(node: Node) -> str:
    """The greedy answer to a client of the node, from a peer that serves the node's version."""
    found: list[str] = []

    def answered() -> bool:
        found.extend(asked(node))
        return bool(found)

    node.until(answered)
    return found[0]


def asked(node: Node) -> list[str]:
    """The answer, or nothing while nobody can answer."""
    model = node.get("/v1/models")["data"][0]["id"]
    said = [{"role": "user", "content": QUESTION}]
    body = {"model": model, "messages": said, "temperature": 0, "max_tokens": 24}
    headers = {"Content-Type": "application/json"}
    request = Request(f"{node.api}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=600) as response:
            return [json.load(response)["choices"][0]["message"]["content"]]
    except HTTPError as error:
        if error.code == 503:
            return []
        raise


def test_a_round_of_three_processes(tmp_path: Path, rule: TrainingRule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_identity, "HOPELESS_S", 900)
    made = AdaptedLab(tmp_path, rule)
    try:
        nodes: dict[str, Node] = {}
        for name in NAMES:
            nodes[name] = made.start(name, *(node.address for node in nodes.values()))
        for node in nodes.values():
            wait_ready(node)
        first = nodes["one"]
        before = answer_of(first)
        for name in OWNERS:
            commit = ("data", "commit", f"{name}.jsonl", "--schema", "schema.toml", "--licence", "MIT")
            done = run(made.home(name), *commit, "--train", "held-out", "--held", str(HELD), "--json", cwd=made.folder)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["text"] == "note"
        first.until(lambda: line_of(first)["decided"] == 1)
        (over,) = (each for each in line_of(first)["closed"] if each["decided"])
        assert (over["agreed"], over["voters"], over["version"]) == (3, 3, 1)
        assert over["gain"] > 0
        assert {row["finding"] for row in over["contributions"]} == {"right"}
        assert {row["peer_id"] for row in over["contributions"]} == {made.ids[name] for name in OWNERS}
        for name, node in nodes.items():
            wait_served(node, 1)
            version = node.get("/v1/lines/notes/versions")["versions"][-1]
            assert version["here"]
            kept = [path.read_bytes() for path in (made.home(name) / "rounds").rglob(version["weights"])]
            assert [sha256(data).hex() for data in kept] == [version["weights"]]
        adapters = [path for path in (made.home("three") / "rounds").rglob("*") if path.stat().st_size < 2**21]
        assert any(_is_adapter(path) for path in adapters if path.is_file())
        assert answer_of(first) != before
    finally:
        for node in made.started:
            node.process.kill()
            node.process.wait()


def _is_adapter(path: Path) -> bool:
    data = path.read_bytes()
    return data.startswith(b"p2pverify/lora/1") and decode_adapter(data).file == weights.SHA256
