"""A version's whole life against a real node: derived, published, served, checked, exported, recalled, and replaced.

It is no quick test, because a node makes certified cuts while thirty commands run. The engine is the toy, for which any
file is a model, so small GGUF files have recipes that are run for real.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from p2pverify.core.encoding.canon import sha256
from p2pverify.interop.slsa import read_provenance
from tests.cli.transcript import run
from tests.engine.lineage.models import random_tensors, write
from tests.support.joined import joined

TRIES = 300
LOOK_S = 0.2


class Shell:
    """Runs commands in one folder, for one home. Homes in other folders share no remembered files with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def text(self, *args: str, code: int = 0) -> str:
        """What a command prints. With a code other than 0 it is the error."""
        done = run(self.home, *args, cwd=self.folder)
        assert done.returncode == code, f"{args}\n{done.stdout}\n{done.stderr}"
        return done.stderr if code else done.stdout

    def json(self, *args: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text(*args, "--json"))
        return found

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("model", "versions")["versions"]
        return found

    def until(self, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The versions, as soon as the newest final view fulfils a condition."""
        for _ in range(TRIES):
            found = self.versions()
            if holds(found):
                return found
            time.sleep(LOOK_S)
        raise AssertionError(json.dumps(found, indent=1))


def test_the_life_of_a_version(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    write(tmp_path / "base.gguf", random_tensors(1))
    shell.text("init")
    keys = [shell.json("model", "publisher-key", "new", f"{name}.key")["key"] for name in "abc"]
    shell.text(
        "network", "new", "--engine", "toy", "--weights", "base.gguf", "--epoch-ms", "400", "--line", "tiny",
        "--publisher", keys[0], "--publisher", keys[1], "--notice", "1", "--overlap", "1000", "--recall", "1",
    )  # fmt: skip
    shell.text("model", "add", "base.gguf", "--unmeasured")
    with joined(shell.home, tmp_path / "network.toml", "--alone"):
        shell.text("wait", "--ready")
        _publish(shell)
        _serve(shell)
        _check_origin(shell)
        _export(shell, keys)
        _recall(shell)
        _rotate(shell, keys)
    assert "start it with 'p2pverify join'" in shell.text("model", "versions", code=3)
    shell.text("ledger", "verify")


def test_another_node_fetches_a_version_and_serves_it(tmp_path: Path) -> None:
    """The second home has no file of the version. It gets it from the first node, and may serve it then."""
    first, second = Shell(tmp_path / "first"), Shell(tmp_path / "second")
    for shell in (first, second):
        shell.folder.mkdir()
        shell.text("init")
    settings = first.home / "config.toml"
    settings.write_text(settings.read_text() + "\n[blobs]\nserve = true\n")
    key = first.json("model", "publisher-key", "new", "a.key")["key"]
    line = ("--line", "tiny", "--publisher", key, "--notice", "1", "--overlap", "1000")
    first.text("network", "new", "--engine", "toy", "--epoch-ms", "600", *line)
    weights = bytes(range(256)) * 8192
    (first.folder / "next.bin").write_bytes(weights)
    network = first.folder / "network.toml"
    with (
        joined(first.home, network, "--alone") as address,
        joined(second.home, network, "--bootstrap", address),
    ):
        first.text("wait", "--ready")
        first.text("model", "publish", "next.bin", "--how", "initial", "--key", "a.key")
        first.text("model", "publish", "--submit", "release-1.json")
        first.until(lambda found: len(found) == 2 and found[1]["here"])
        (_, version) = second.until(lambda found: len(found) == 2 and found[1]["missing"] is not None)
        assert not version["here"]
        second.until(lambda found: found[1]["status"] == "current")
        assert "fetch" in second.text("model", "serve", "tiny@1", code=4)
        found = second.json("model", "fetch", "tiny@1")
        assert (found["state"], found["done"]) == ("whole", len(weights))
        second.until(lambda found: found[1]["here"])
        second.text("wait", "--ready")
        second.text("model", "serve", "tiny@1")
        second.until(lambda found: bool(found[1]["servers"]))
        (blob,) = second.json("model", "versions")["versions"][1]["files"]
        kept = second.home / "blobs" / blob["sha256"][:2] / blob["sha256"]
        assert kept.read_bytes() == weights


def _publish(shell: Shell) -> None:
    """Two publishers sign one after another, and the node refuses what only one has signed."""
    derived = shell.text("model", "derive", "base.gguf", "--how", "quantise:q4_0", "-o", "next.gguf", "--json")
    (shell.folder / "derived.json").write_text(derived)
    more = ("--parent", "tiny@0", "--key", "a.key")
    refused = shell.text("model", "publish", "next.gguf", "--how", "quantise:q5_0", *more, code=5)
    assert "the recipe does not make this version" in refused
    assert not (shell.folder / "release-1.json").exists()
    first = shell.json("model", "publish", "next.gguf", "--derived", "derived.json", *more)
    assert (first["version"], first["how"], first["recipe"]) == (1, "quantise", "quantised to q4_0")
    assert len(first["golden_answers"]) == 1
    assert "too few publishers signed\nhint: " in shell.text("model", "publish", "--submit", "release-1.json", code=4)
    both = shell.json("model", "publish", "--sign", "release-1.json", "--key", "b.key")
    assert len(both["signed_by"]) == 2
    said = shell.json("model", "publish", "--submit", "release-1.json")
    _, version = shell.until(lambda found: len(found) == 2)
    weights = sha256((shell.folder / "next.gguf").read_bytes()).hex()
    assert (version["record"], version["weights"]) == (said["record"], weights)
    assert "the number is taken" in shell.text("model", "publish", "--submit", "release-1.json", code=4)


def _serve(shell: Shell) -> None:
    """The publisher's own node finds the file that was released, and serves the version once it is current."""
    shell.until(lambda found: found[1]["status"] == "current" and found[1]["here"])
    shell.text("model", "serve", "tiny@1")
    zero, one = shell.until(lambda found: bool(found[1]["servers"]))
    assert (zero["servers"], zero["status"], one["thin"]) == ([], "overlap", True)
    assert "tiny@1 (current)" in shell.text("status")
    assert "the member serves it" in shell.text("model", "serve", "tiny@1", code=4)
    assert shell.json("model", "fetch", "tiny@1")["state"] == "whole"  # it is here, so nobody is asked


def _check_origin(shell: Shell) -> None:
    """The recipe gives the released file again. A changed file is refuted, and a missing one leaves the claim."""
    nodes = shell.json("model", "lineage", "tiny@1")["nodes"]
    assert [(node["version"], node["depth"], node["grade"]) for node in nodes] == [
        ("tiny@1", 0, "claimed"), ("tiny@0", 1, None),
    ]  # fmt: skip
    found = shell.json("model", "lineage", "--check")["nodes"][0]
    assert (found["grade"], found["refuted"], found["missing"]) == ("recomputed", False, [])
    released = shell.folder / "next.gguf"
    data = released.read_bytes()
    released.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "the lineage of tiny@1 is refuted" in shell.text("model", "lineage", "--check", code=5)
    released.write_bytes(data)
    base = shell.folder / "base.gguf"
    base.rename(shell.folder / "away.gguf")
    found = shell.json("model", "lineage", "--check")["nodes"][0]
    assert (found["grade"], found["refuted"]) == ("claimed", False)
    assert "model add FILE --unmeasured" in found["missing"][0]
    (shell.folder / "away.gguf").rename(base)


def _export(shell: Shell, keys: list[str]) -> None:
    """Provenance of a version in the view has its publishers; a file that is another one is refused."""
    folder = shell.folder / "files"
    folder.mkdir()
    (folder / "next.gguf").write_bytes((shell.folder / "next.gguf").read_bytes())
    to = ("model", "export", "--version", "tiny@1", "--format", "slsa", "-o", "slsa.json", "files")
    shell.text(*to)
    assert read_provenance((shell.folder / "slsa.json").read_bytes())
    shell.text("model", "export", "--version", "tiny@1", "--format", "hf", "-o", "card.md", "files")
    card = (shell.folder / "card.md").read_text()
    assert all(key in card for key in keys[:2])
    (folder / "next.gguf").write_bytes(b"other")
    assert "not the file of the release" in shell.text(*to, "--force", code=5)


def _recall(shell: Shell) -> None:
    """Both publishers recall the version, and its server is told to go back."""
    shell.text("model", "recall", "tiny@1", "--reason", "vulnerable", "--key", "a.key", "--key", "b.key")
    shell.text("model", "publish", "--submit", "recall-1.json")
    zero, one = shell.until(lambda found: found[1]["status"] == "recalled" and found[1]["servers"][0]["behind"])
    assert (zero["status"], one["recalled"]["reason"]) == ("current", "vulnerable")
    told = shell.text("status")
    assert "tiny@1 (recalled; this node is behind)" in told
    assert "tiny@0 is current; serve it with 'p2pverify model serve tiny@0'" in told
    assert "tiny@1 is recalled" in shell.text("model", "serve", "tiny@1", code=1)
    shell.text("model", "serve", "tiny@0")
    shell.until(lambda found: bool(found[0]["servers"]))


def _rotate(shell: Shell, keys: list[str]) -> None:
    """A third key takes over, and releases alone."""
    shell.text(
        "model", "publishers", "tiny", "--set", keys[2], "--threshold", "1", "--key", "a.key", "--key", "b.key"
    )  # fmt: skip
    shell.text("model", "publish", "--submit", "publishers-1.json")
    for _ in range(TRIES):
        line = shell.json("model", "versions")["line"]
        if line["rotations"]:
            break
        time.sleep(LOOK_S)
    assert (line["publishers"], line["threshold"]) == ([keys[2]], 1)
    (shell.folder / "third.bin").write_bytes(b"any file is a model of the toy")
    shell.text("model", "publish", "third.bin", "--how", "initial", "--key", "c.key")
    shell.text("model", "publish", "--submit", "release-2.json")
    found = shell.until(lambda versions: len(versions) == 3)
    assert (found[2]["number"], found[2]["how"], found[2]["parents"]) == (2, "initial", [])
    assert found[2]["weights"] == sha256(b"any file is a model of the toy").hex()
