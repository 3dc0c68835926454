"""`ask --bootstrap` where nobody can be asked: what it says, and its exit codes. tests/e2e has a whole network."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.networkfile import add_model, dump_network, new_network
from tests.cli.transcript import run
from tests.support.networks import make_network, seeds

NOBODY = "/ip4/127.0.0.1/tcp/1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the network of a founder that does not run."""
    network, manifests = new_network("mine", [public_key(bytes(32))], ToyEngine().info)
    (tmp_path / "network.toml").write_text(dump_network(network, manifests))
    second = replace(manifests[0], model="second", weights=bytes(32))
    two = add_model(network, manifests, second, paths=[(network.classes[0].engine, network.classes[0].numeric_path)])
    (tmp_path / "two.toml").write_text(dump_network(*two))
    (tmp_path / "bare.toml").write_text(dump_network(make_network(seeds(3))))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 4, "no peer can be reached (/ip4/127.0.0.1/tcp/1: "),
        (("--peer", "12D3KooW"), 2, "without a node only a whole peer id is known"),
        (("--model", "gpt-9"), 1, "the network file has no model 'gpt-9'"),
        (("--model", "toy@n3z1"), 4, "no peer can be reached"),
        (("--model", "toy@3"), 2, "after '@' stands how to check"),
        (("--model", "toy@n3", "--panel", "5"), 2, "--panel contradicts --model"),
        (("--model", "toy@n3", "--peer", "12D3KooW"), 2, "so --model takes no suffix"),
        (("--network", "{}/two.toml"), 1, "the network file has several models"),
        (("--network", "{}/two.toml", "--model", "second"), 4, "no peer can be reached"),
        (("--network", "{}/bare.toml"), 1, "the network file has no description of a model"),
        (("--cut", "00"), 2, "give the 64 hexadecimal digits of a cut's id"),
        (("-o", "{}/network.toml"), 1, "network.toml"),
    ],
)
def test_why_nobody_is_asked(folder: Path, options: tuple[str, ...], code: int, message: str) -> None:
    """Nothing is printed on stdout, and no receipt is written."""
    network = ("--network", str(folder / "network.toml"))
    rest = [each.format(folder) for each in options]
    done = run(folder / "no home", "ask", "hi", "--bootstrap", NOBODY, *network, *rest)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert sorted(each.name for each in folder.iterdir()) == ["bare.toml", "network.toml", "two.toml"]
