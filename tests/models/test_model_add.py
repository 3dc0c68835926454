"""`model add` with a second real model: its manifest founds a network with a referee, and peers find their class."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pverify.core.contract.classes import ANY
from p2pverify.engine.llama import variants
from p2pverify.node.engines.kinds import ENGINES
from p2pverify.node.files.manifestfile import ENVIRONMENT, load_manifest
from p2pverify.node.files.networkfile import load_network

REFEREE, PATH = ENGINES["llama"].referee, ENGINES["llama"].referee_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, with manifests of its own, and without builds for other processors."""
    environment = {**os.environ, ENVIRONMENT: str(folder / "manifests"), variants.ENVIRONMENT: str(folder / "none")}
    return subprocess.run(
        [sys.executable, "-m", "p2pverify", "--home", str(folder / "home"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, gemma: Path) -> Path:
    """A folder with the manifest that `model add --quick` made, and the document that it printed."""
    folder = tmp_path_factory.mktemp("added")
    done = run(folder, "model", "add", str(gemma), "--quick", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "added.json").write_text(done.stdout)
    return folder


def test_the_document_names_classes_thresholds_and_what_to_do_next(folder: Path, gemma: Path):
    """stdout is one document. Two settings of the wheel run everywhere, and are two classes."""
    document = json.loads((folder / "added.json").read_text())
    assert (document["schema"], document["left_out"]) == ("p2pverify/model-add/1", [])
    paths = [path["numeric_path"] for path in document["paths"]]
    assert paths == [PATH.replace("q8_0", "f16"), PATH]
    assert {one["judge_engine"] for one in document["calibrations"]} == {REFEREE}
    assert document["next"][0] == f"p2pverify testnet --weights {gemma}"
    manifest = load_manifest(Path(document["file"]))
    assert manifest.digest.hex() == document["manifest"]
    own, other = (manifest.bounds(REFEREE, PATH)[where] for where in ((REFEREE, PATH), (ANY, ANY)))
    assert own.mismatch_base == 0 < other.mismatch_base


def test_a_network_is_founded_with_it(folder: Path, gemma: Path):
    """`network new` finds the manifest by the weights, and this machine finds its class in the network."""
    assert run(folder, "init").returncode == 0
    file = folder / "network.toml"
    made = run(folder, "network", "new", "--weights", str(gemma), "--across", "-o", str(file))
    assert made.returncode == 0, made.stderr
    network, _ = load_network(file)
    assert network.referee == REFEREE
    assert [c.is_any for c in network.classes] == [False, False, True]
    found = run(folder, "model", "selftest", "--network", str(file), "--weights", str(gemma), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["class"] == network.classes[0].name


def test_a_manifest_is_not_replaced_unasked(folder: Path, gemma: Path):
    """Minutes of work would be lost; this is said before any work."""
    again = run(folder, "model", "add", str(gemma), "--quick")
    assert again.returncode == 1
    assert "--force" in again.stderr
