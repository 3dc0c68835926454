"""`network new --tariff` puts a tariff into the contract, and `network show` shows it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from p2pverify.cli.main import main
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.files.networkfile import load_network
from p2pverify.node.settle.tarifffile import tariff_lines
from tests.support.money import TARIFF

FOUNDER = peer_id(sign.public_key(bytes(32)))
FILE = "\n".join(tariff_lines(TARIFF)).replace("[tariff]", "")


def p2pverify(home: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), *args])


def new(folder: Path, text: str) -> Result:
    (folder / "tariff.toml").write_text(text, encoding="utf-8")
    file = ("--tariff", str(folder / "tariff.toml"), "-o", str(folder / "network.toml"))
    return p2pverify(folder / "home", "network", "new", "--engine", "toy", "--founder", FOUNDER, *file)


def test_a_network_with_a_tariff(tmp_path: Path) -> None:
    done = new(tmp_path, FILE)
    assert done.exit_code == 0, done.output
    assert load_network(tmp_path / "network.toml")[0].tariff == TARIFF
    shown = p2pverify(tmp_path / "home", "network", "show", str(tmp_path / "network.toml"))
    assert "vest_epochs" in shown.output
    as_json = p2pverify(tmp_path / "home", "network", "show", str(tmp_path / "network.toml"), "--json")
    assert json.loads(as_json.output)["tariff"]["rows_curve"] == [[0, 0], [20, 500], [100, 1000]]


@pytest.mark.parametrize(
    ("old", "changed", "message"),
    [
        ("answer = 10000", "", "key 'answer'"),
        ("answer = 10000", "answer = -1", "answer: not an unsigned integer"),
        ("limit = 1000000", "limit = 0", "vest_epochs and limit are at least 1"),
        ("[100, 1000]", "[100, 1001]", "rows_curve permille: above 1000"),
        ("[[0, 0], ", "[[30, 0], ", "rows_curve: not ascending"),
        ('unit = "credit"', 'unit = "credit"\nfee = 1', "unknown key 'fee'"),
    ],
)
def test_tariffs_that_are_none(old: str, changed: str, message: str, tmp_path: Path) -> None:
    """The message says why, and nothing is written."""
    assert old in FILE
    done = new(tmp_path, FILE.replace(old, changed))
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert not (tmp_path / "network.toml").exists()
