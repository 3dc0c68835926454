"""Manifest files: round trips, errors that name the place, and the packaged manifests."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files import manifestfile
from p2pverify.node.files.manifestfile import (
    describes,
    keep_weights,
    kept_weights,
    known_manifest,
    load_manifest,
    save_manifest,
)
from p2pverify.node.files.networkfile import manifest_of
from p2pverify.node.files.textfile import FileError
from p2pverify.resources import resource
from tests.support.manifests import manifests


@given(manifests)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_back(tmp_path_factory, manifest):
    """Every manifest is read back from its text."""
    path = tmp_path_factory.mktemp("m") / "m.toml"
    save_manifest(path, manifest)
    assert load_manifest(path) == manifest


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("golden_questions = []", "did you mean 'golden_question'"),
        ('[[golden_path]]\nengine = "e"\nnumeric_path = "p"\nanswers = [["00", "00"]]', r"golden_path\[1\].answers"),
        ('[[golden_path]]\nengine = "e"\nnumeric_path = "\\u001b"\nanswers = []', "control characters"),
        ('[[golden_path]]\nengine = "e"\nnumeric_path = "p"\nanswers = []', "without questions prove nothing"),
        ('[[canary]]\nprompt = "no"\ntokens_max = 1\nanswers = []', r"canary\[1\].prompt"),
        ("calibration = 5", "calibration"),
    ],
)
def test_faults_are_named(tmp_path, line, named):
    """The message names the wrong key."""
    path = tmp_path / "m.toml"
    save_manifest(path, manifest_of(ToyEngine().info))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(FileError, match=named):
        load_manifest(path)


def test_an_absent_file_says_how_it_is_made(tmp_path):
    """The hint is a command."""
    with pytest.raises(FileError, match="model selftest --manifest"):
        load_manifest(tmp_path / "m.toml")


def test_packaged_manifests_are_well_formed():
    """Each can be loaded and has at least two classes."""
    paths = sorted((resource("testnet") / "manifests").glob("*.toml"))
    assert paths
    for path in paths:
        assert len(load_manifest(path).golden.distinct()) >= 2


def test_a_manifest_is_found_by_the_model_and_not_by_its_name():
    """The toy engine has no manifest."""
    info = ToyEngine().info
    assert known_manifest(info) is None
    assert describes(manifest_of(info), info)


def test_a_manifest_of_ones_own_is_found_by_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name has the beginning of their digest. A file of another model with the same name is passed over."""
    monkeypatch.setenv(manifestfile.ENVIRONMENT, str(tmp_path))
    info = replace(ToyEngine().info, weights_sha256=bytes(range(32)), model="A model, of Mine!/..")
    path = manifestfile.own_path(info.model, info.weights_sha256)
    assert path == tmp_path / "a-model-of-mine-0001020304050607.toml"
    assert known_manifest(info) is None
    save_manifest(path, manifest_of(replace(info, tokenizer_sha256=bytes(32))))
    assert known_manifest(info) is None
    save_manifest(path, manifest_of(info))
    assert known_manifest(info) == manifest_of(info)
    assert known_manifest(replace(info, weights_sha256=bytes(32))) is None


def test_the_place_of_weights_is_remembered_by_their_digest(tmp_path, monkeypatch):
    """A second file of the digest takes the place of the first one. A file that is gone is not found."""
    monkeypatch.setenv(manifestfile.ENVIRONMENT, str(tmp_path / "own"))
    digests, files = (b"\1" * 32, b"\2" * 32), [tmp_path / name for name in ("a", "b", "moved")]
    assert kept_weights(digests[0]) == []
    for file in files:
        file.write_bytes(b"")
    links = [keep_weights("A 1.5", digest, file) for digest, file in zip(digests, files, strict=False)]
    assert [kept_weights(digest) for digest in digests] == [[link] for link in links]
    assert kept_weights() == links
    assert keep_weights("A 1.5", digests[0], files[2]) == links[0]
    assert links[0].resolve() == files[2]
    files[2].unlink()
    assert kept_weights() == [links[1]]
    monkeypatch.setenv(manifestfile.ENVIRONMENT, str(files[0]))
    with pytest.raises(FileError, match="cannot be written"):
        keep_weights("A", digests[0], files[0])
