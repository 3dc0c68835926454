"""The line of a network that `network new` founds, and the keys of its publishers."""

import json
import subprocess
from pathlib import Path

import pytest

from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.encoding.sign import public_key
from p2pverify.interop.oms import SignedFile, check_signature, read_bundle, write_bundle
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import load_network
from p2pverify.node.lines.papers import load_seed
from tests.cli.transcript import run


@pytest.fixture
def keys(home: Home, tmp_path: Path) -> list[str]:
    """The names of two publishers, whose files are a.key and b.key."""
    home.init()
    return [json.loads(ok(home, tmp_path, "model", "publisher-key", "new", f"{n}.key", "--json"))["key"] for n in "ab"]


def ok(home: Home, folder: Path, *args: str) -> str:
    done = run(home.path, *args, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new(home: Home, folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return run(home.path, "network", "new", "--engine", "toy", "--force", *args, cwd=folder)


def test_the_file_has_the_line(home: Home, tmp_path: Path, keys: list[str]) -> None:
    """More than half of the publishers sign unless the founder says otherwise."""
    given = [part for key in keys for part in ("--publisher", key)]
    done = new(home, tmp_path, "--line", "tiny", *given, "--notice", "3", "--overlap", "9", "--recall", "0")
    assert done.returncode == 0, done.stderr
    made, manifests = load_network(tmp_path / "network.toml")
    (line,) = made.lines
    assert (line.name, line.genesis, line.publishers.threshold) == ("tiny", manifests[0].digest, 2)
    assert line.publishers.keys == tuple(sorted(map(key_of, keys)))
    assert (line.notice_epochs, line.overlap_epochs, line.recall_epochs) == (3, 9, 0)
    (shown,) = json.loads(ok(home, tmp_path, "network", "show", "network.toml", "--json"))["lines"]
    assert (shown["name"], shown["publishers"], shown["threshold"]) == ("tiny", sorted(keys, key=key_of), 2)
    assert f"publisher       {keys[0]}" in ok(home, tmp_path, "network", "show", "network.toml")


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("--line", "tiny"), "name each with --publisher"),
        (("--notice", "3"), "belong to --line"),
        (("--line", "a@b", "--publisher", "KEY"), "has no @"),
        (("--line", "tiny", "--publisher", "KEY", "--threshold", "2"), "fewer publishers"),
        (("--line", "tiny", "--publisher", "KEY", "--publisher", "KEY"), "named twice"),
        (("--line", "tiny", "--publisher", "nobody"), "--publisher"),
    ],
)
def test_options_that_make_no_line(
    home: Home, tmp_path: Path, keys: list[str], args: tuple[str, ...], wanted: str
) -> None:
    done = new(home, tmp_path, *(keys[0] if arg == "KEY" else arg for arg in args))
    assert (done.returncode, wanted in done.stderr, (tmp_path / "network.toml").exists()) == (2, True, False)


def test_keys_are_new_and_private(home: Home, tmp_path: Path, keys: list[str]) -> None:
    """No key is replaced, and the identity of a home can be a publisher too."""
    assert key_of(keys[0]) == public_key(load_seed(tmp_path / "a.key"))
    done = run(home.path, "model", "publisher-key", "new", "a.key", cwd=tmp_path)
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    shown = json.loads(ok(home, tmp_path, "model", "publisher-key", "show", str(home.identity_path), "--json"))
    assert key_of(shown["key"]) == public_key(home.load_identity())


def test_a_key_for_model_signing(home: Home, tmp_path: Path, keys: list[str]) -> None:
    """Its private half signs a bundle, and the public half checks it."""
    ok(home, tmp_path, "model", "publisher-key", "new", "oms.pem", "--oms")
    private = tmp_path / "oms.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    bundle = write_bundle("tiny", [SignedFile("a.gguf", bytes(32))], private.read_bytes())
    check_signature(read_bundle(bundle), (tmp_path / "oms.pem.pub").read_bytes())
