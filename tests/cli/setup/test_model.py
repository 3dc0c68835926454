"""`model selftest`, and networks that use its results."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from p2pverify.cli.setup.manifest import manifest_from, starting_manifest
from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.manifest import Calibration
from p2pverify.engine import toy
from p2pverify.node.files import manifestfile
from p2pverify.node.files.home import Home
from p2pverify.node.files.manifestfile import kept_weights, load_manifest, save_manifest
from p2pverify.node.files.networkfile import dump_network, load_network, manifest_of
from p2pverify.node.files.textfile import FileError
from tests.cli.transcript import run
from tests.support.golden import beside_another_model, make_golden
from tests.testnet.test_weights import gguf

ACROSS = Across(1, 2, 3, 4, 5, 10_000)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest file with the golden answers of two paths."""
    path = tmp_path / "toy.toml"
    for variant in ("toy/a", "toy/b"):
        done = run(tmp_path, "model", "selftest", "--engine", "toy", "--variant", variant, "--manifest", str(path))
        assert done.returncode == 0, done.stderr
    assert [found.numeric_path for found in load_manifest(path).golden.paths] == ["toy/a", "toy/b"]
    return path


def calibrated(path: Path) -> None:
    """Add thresholds for unknown paths."""
    found = load_manifest(path)
    unknown = Calibration(toy.REFEREE, toy.REFEREE_PATH, ANY, ANY, 9, 99, ACROSS, 1_000)
    save_manifest(path, replace(found, calibrations=(unknown,)))


def new_network(tmp_path: Path, manifest: Path, *options: str) -> Path:
    target = tmp_path / "n.toml"
    Home(tmp_path / "home").init()
    done = run(
        tmp_path / "home", "network", "new", "--engine", "toy", "--manifest", str(manifest), "-o", str(target), *options
    )
    assert done.returncode == 0, done.stderr
    return target


def test_a_class_is_shown_with_its_reason(tmp_path: Path, manifest: Path) -> None:
    """If a path's answers are known, the machine is in its class, and the digests are shown side by side."""
    done = run(tmp_path, "model", "selftest", "--engine", "toy", "--variant", "toy/b", "--manifest", str(manifest))
    assert "class         toy/b: 4 of 4 golden answers are equal" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("toy/b ")]
    assert len(rows) == 1 + 4
    assert all(wanted == got for _, _, *digests in rows[1:] for wanted, got in [(digests[:2], digests[2:])])
    unknown = run(tmp_path, "model", "selftest", "--engine", "toy")
    assert (unknown.returncode, "class         none: " in unknown.stdout) == (0, True)


def test_the_document_has_what_the_text_has(tmp_path: Path, manifest: Path) -> None:
    """Stdout has exactly one JSON document."""
    arguments = ("model", "selftest", "--engine", "toy", "--variant", "toy/a", "--manifest", str(manifest), "--json")
    document = json.loads(run(tmp_path, *arguments).stdout)
    assert document["schema"] == "p2pverify/selftest/1"
    assert (document["class"], document["engine"], document["network"]) == ("toy/a", toy.ENGINE, None)
    assert document["can"] == ["generate", "logits", "score", "write"]
    ours, other = document["classes"]
    assert (ours["is_ours"], ours["wanted"] == ours["got"]) == (True, True)
    assert (other["is_ours"], other["wanted"] == other["got"]) == (False, False)


def test_a_network_has_the_class_of_its_founder(tmp_path: Path, manifest: Path) -> None:
    """The file has its golden answers, which decide the class of others. The exit code is 5 for a machine in no
    class."""
    network_file = new_network(tmp_path, manifest)
    network, (found,) = load_network(network_file)
    assert [c.numeric_path for c in network.classes] == [toy.PATH]
    assert {path.numeric_path for path in found.golden.paths} == {toy.PATH, "toy/a", "toy/b"}
    codes = {}
    for variant in (toy.PATH, "toy/a"):
        arguments = ("model", "selftest", "--engine", "toy", "--variant", variant, "--network", str(network_file))
        codes[variant] = run(tmp_path, *arguments).returncode
    assert codes == {toy.PATH: 0, "toy/a": 5}


def test_a_network_of_several_models(tmp_path: Path, manifest: Path) -> None:
    """Golden questions of another model are not asked, because they are outside this engine's vocabulary."""
    network_file = new_network(tmp_path, manifest)
    network, manifests = beside_another_model(*load_network(network_file))
    network_file.write_text(dump_network(network, manifests), encoding="utf-8")
    done = run(tmp_path, "model", "selftest", "--engine", "toy", "--network", str(network_file), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["class"] == "toy"
    reasons = {found["name"]: (found["is_ours"], found["reason"]) for found in document["classes"]}
    assert reasons["large"] == (False, "another model")


def test_a_network_for_all_paths(tmp_path: Path, manifest: Path) -> None:
    """It has a class for each known path and one for others, all judged by the referee with the manifest's
    thresholds."""
    Home(tmp_path / "home").init()
    refused = run(
        tmp_path / "home", "network", "new", "--engine", "toy", "--manifest", str(manifest), "--across", "-o", "-"
    )
    assert refused.returncode == 1
    assert "model calibrate --manifest" in refused.stderr
    calibrated(manifest)
    network_file = new_network(tmp_path, manifest, "--across")
    network, _ = load_network(network_file)
    assert network.referee == toy.REFEREE
    assert [c.numeric_path for c in network.classes] == [toy.PATH, "toy/a", "toy/b", ANY]
    assert [c.name for c in network.classes] == ["toy", "toy-2", "toy-3", "any"]
    assert {c.across for c in network.classes} == {ACROSS}
    stranger = run(
        tmp_path, "model", "selftest", "--engine", "toy", "--variant", "toy/z", "--network", str(network_file)
    )
    assert stranger.returncode == 0
    assert "class         any: for this model on any machine" in stranger.stdout


def test_what_a_new_file_begins_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file starts with the packaged manifest of the model, for every user, or with an empty one if none is
    packaged."""
    engine, absent = toy.ToyEngine(), tmp_path / "absent.toml"
    assert starting_manifest(engine, absent).golden.paths == ()
    assert starting_manifest(engine, absent).golden.questions
    unknown = Calibration(toy.REFEREE, toy.REFEREE_PATH, ANY, ANY, 9, 99, ACROSS, 1_000)
    packaged = replace(manifest_of(engine.info), golden=make_golden(engine), calibrations=(unknown,))
    monkeypatch.setattr(manifestfile, "known_manifest", lambda info: packaged)
    assert starting_manifest(engine, absent) == manifest_from(absent, engine.info) == packaged
    assert starting_manifest(engine, None) == packaged
    with pytest.raises(FileError, match="there is no such file"):
        starting_manifest(engine, absent, must_exist=True)


def test_wrong_golden_answers_and_other_models_are_refused(tmp_path: Path, manifest: Path) -> None:
    """A network cannot use answers that the founder's engine does not give, or another model's manifest."""
    found = load_manifest(manifest)
    here = run(tmp_path, "model", "selftest", "--engine", "toy", "--manifest", str(manifest))
    assert here.returncode == 0
    answers = {path.numeric_path: path for path in load_manifest(manifest).golden.paths}
    forged = replace(answers[toy.PATH], answers=answers["toy/a"].answers)
    save_manifest(manifest, replace(found, golden=found.golden.merged([forged])))
    Home(tmp_path / "home").init()
    done = run(tmp_path / "home", "network", "new", "--engine", "toy", "--manifest", str(manifest), "-o", "-")
    assert done.returncode == 1
    assert "does not give the golden answers" in done.stderr
    save_manifest(manifest, replace(found, weights=b"\1" * 32))
    done = run(tmp_path, "model", "selftest", "--engine", "toy", "--manifest", str(manifest))
    assert done.returncode == 1
    assert "describes another model" in done.stderr
    assert not Home(tmp_path).identity_path.exists()


def test_a_network_of_two_models(tmp_path: Path, manifest: Path) -> None:
    """The second one comes from its manifest, without its weights. The referee must know both."""
    calibrated(manifest)
    found = load_manifest(manifest)
    second = tmp_path / "second.toml"
    save_manifest(second, replace(found, model="second", weights=b"\2" * 32))
    network, manifests = load_network(new_network(tmp_path, manifest, "--across", "--also", str(second)))
    assert {one.model for one in manifests} == {found.model, "second"}
    assert {c.manifest for c in network.classes} == set(network.manifests)
    assert all(c.across == ACROSS for c in network.classes)
    save_manifest(second, replace(found, model="second", weights=b"\2" * 32, calibrations=()))
    refused = run(
        tmp_path / "home", "network", "new", "--engine", "toy", "--manifest", str(manifest), "--across",
        "--also", str(second), "-o", "-",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "model add" in refused.stderr


def test_a_file_is_remembered_without_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its link has the digest of the weights. What a measurement would need is refused."""
    file = gguf(tmp_path / "tiny.gguf", 2)
    done = run(tmp_path, "model", "add", str(file), "--unmeasured", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    folder = Path(document["link"]).parent
    monkeypatch.setenv(manifestfile.ENVIRONMENT, str(folder))
    digest = sha256(file.read_bytes()).digest()
    assert document["weights"] == digest.hex()
    assert kept_weights(digest) == [Path(document["link"])]
    assert Path(document["link"]).resolve() == file
    assert sorted(path.suffix for path in folder.iterdir()) == [".gguf"]
    refused = run(tmp_path, "model", "add", str(file), "--unmeasured", "--quick")
    assert refused.returncode == 2
    assert "makes no manifest" in refused.stderr


def test_a_file_that_is_no_model_gets_no_manifest(tmp_path: Path) -> None:
    """It is refused before an engine is opened."""
    file = tmp_path / "text.gguf"
    file.write_text("not a model")
    done = run(tmp_path, "model", "add", str(file), "--quick", "-o", str(tmp_path / "m.toml"))
    assert done.returncode == 1
    assert "GGUF" in done.stderr
    assert not (tmp_path / "m.toml").exists()
