"""`train`, and what `status` and `model versions` say of rounds, against answers of an API."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pverify.cli.training.train import train
from p2pverify.engine.lora.tools import LoraTools
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.lines.documents import RoundOriginDocument
from p2pverify.node.reports.documents.jsonform import parse
from p2pverify.node.training.documents import RoundsDocument
from tests.cli.fake_api import body, fake_api
from tests.cli.lines.test_versions import answers
from tests.cli.transcript import run
from tests.support.documents import ROUNDS, STATUS, VERSION_1, VERSIONS
from tests.support.networks import make_network, seeds
from tests.support.rounds import with_training
from tests.support.tiny_model import Tiny, write
from tests.support.training import ADAPTED

LINE = ROUNDS.lines[0]


def shown(home: Home, *args: str, rounds: RoundsDocument = ROUNDS) -> str:
    with fake_api(home, {"/v1/rounds": body(rounds)}):
        done = run(home.path, "train", *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_what_is_open_and_what_waits_for_this_node(home: Home) -> None:
    told = " ".join(shown(home, "status").split())
    assert "open round 3, which repeats round 1, from version 1, since epoch 11" in told
    assert "to repeat rounds 1, without rows that were erased" in told
    assert "1 of 2 contributors sealed an update" in told
    assert "this node has to train, and seal the update" in told
    idle = replace(ROUNDS, lines=(replace(LINE, open=None, houses_ready=1),))
    assert "none; 1 houses of contributors have rows for it, and it needs 2" in shown(home, "status", rounds=idle)
    assert "is trained in rounds" in shown(home, "status", rounds=replace(ROUNDS, lines=()))


def test_rounds_that_are_over(home: Home) -> None:
    lines = shown(home, "rounds").splitlines()
    assert lines[0].split() == ["ROUND", "REPEATS", "BASE", "RESULT", "EPOCH", "GAIN", "AGREED", "UPDATES"]
    assert lines[1].split() == ["1", "-", "0", "version", "1", "6", "41250", "4", "of", "5", "2,", "1", "right"]
    assert lines[2].split() == ["2", "1", "1", "void", "10", "-", "-", "-"]
    assert max(map(len, lines)) <= 80


def test_one_round(home: Home) -> None:
    text = shown(home, "show", "tiny/1")
    assert "FINDING" in text
    assert ["unseen", "0", "no", "44", "1"] in [line.split()[1:6] for line in text.splitlines()]
    assert max(map(len, text.splitlines())) <= 80
    for command in (("status",), ("rounds", "tiny"), ("show", "tiny/1")):
        assert parse(RoundsDocument, shown(home, *command, "--json")) == ROUNDS


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("rounds", "other"), 1, "name a line that is trained in rounds: tiny"),
        (("show", "tiny/9"), 1, "no such round of tiny that is over and remembered; known: 1, 2"),
        (("show", "tiny"), 2, "name a line and a round, such as cells/3"),
    ],
)
def test_names_that_mean_nothing(home: Home, args: tuple[str, ...], code: int, said: str) -> None:
    with fake_api(home, {"/v1/rounds": body(ROUNDS)}):
        done = run(home.path, "train", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_status_and_versions_name_rounds(home: Home) -> None:
    waiting = replace(STATUS, rounds=("round 3 of line tiny: open the update",))
    with fake_api(home, {"/v1/status": body(waiting)}):
        done = run(home.path, "status")
    assert "round 3 of line tiny: open the update" in done.stdout
    origin = RoundOriginDocument(number=3, agreed=4, voters=5, gain=41_250)
    trained = replace(VERSION_1, how="round", grade="decided", round=origin, recipe=None, signers=(), record=None)
    versions = replace(VERSIONS, versions=(VERSIONS.versions[0], trained))
    with fake_api(home, answers(versions)):
        done = run(home.path, "model", "versions", "--wide")
    assert "trained in round 3 of 0" in done.stdout
    assert "decided by 4 of 5 members; gain 41250 micronats" in done.stdout


def test_the_class_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path and proof for the rules of a network file; a network without language models has none."""
    weights = write(tmp_path / "tiny.gguf", Tiny())
    usual = make_network(seeds(3))
    other = with_training(usual, [], **ADAPTED)
    ours = with_training(usual, [], **{**ADAPTED, "lora": replace(ADAPTED["lora"], golden=b"\x07" * 32)})
    for network, said in (
        (other, ["line", "torch-9/here", "07" * 32, "another one than that of the rule"]),
        (ours, ["class   that of the rule"]),
        (usual, ["no line of the network trains a language model"]),
    ):
        file = tmp_path / "network.toml"
        file.write_text(dump_network(network, ()))
        monkeypatch.setattr(LoraTools, "golden", lambda self, base, rule: b"\x07" * 32)
        monkeypatch.setattr("p2pverify.engine.lora.measuring.numeric_path", lambda: "torch-9/here")
        done = CliRunner().invoke(train, ["class", str(file), "--weights", str(weights)])
        assert done.exit_code == 0, done.output
        for text in said:
            assert text in done.output
    done = CliRunner().invoke(train, ["class", str(file), "--json"])
    assert json.loads(done.output) == {"schema": "p2pverify/training-classes/1", "lines": []}
