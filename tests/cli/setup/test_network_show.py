"""`network show`: the contract's classes, its referee, and the tests that follow from its numbers."""

import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from p2pverify.cli.main import main
from p2pverify.core.contract.network import Network
from p2pverify.node.files.networkfile import dump_network
from tests.support.across import BOUNDS, Story
from tests.support.networks import MANIFEST


def show(network: Network, path: Path, *options: str) -> str:
    """The output for a network file."""
    file = path / "network.toml"
    file.write_text(dump_network(network, (MANIFEST,)), encoding="utf-8")
    result = CliRunner().invoke(main, ["network", "show", str(file), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_classes_are_shown_with_how_a_referee_judges_them(tmp_path: Path) -> None:
    """It shows thresholds in micronats, and the number of consecutive dissents that convict, for both kinds of
    judgement."""
    document = json.loads(show(Story("ab*").network, tmp_path, "--json"))
    assert document["schema"] == "p2pverify/network-show/1"
    assert document["referee"] == "toy-exact/1"
    assert [kind["engine"] for kind in document["classes"]] == ["toy/1", "toy/1", "*"]
    for kind in document["classes"]:
        assert kind["dissents_to_convict"] == 4
        assert kind["across"]["dissents_to_convict"] == 7
        assert kind["across"]["mismatch_slope"] == BOUNDS.mismatch_slope
    text = show(Story("ab*").network, tmp_path)
    assert "ACROSS " in text
    assert "toy-exact/1" in text


def test_without_a_referee_nothing_is_shown_of_one(tmp_path: Path) -> None:
    """A network that only compares digests has no thresholds."""
    story = Story("ab")
    classes = tuple(replace(kind, across=None) for kind in story.network.classes)
    network = replace(story.network, classes=classes, referee="")
    document = json.loads(show(network, tmp_path, "--json"))
    assert document["referee"] is None
    assert [kind["across"] for kind in document["classes"]] == [None, None]
    assert "ACROSS " not in show(network, tmp_path)
