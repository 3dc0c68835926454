"""`model calibrate`: a table, a document, and thresholds in a manifest file, from toy engines that take no time."""

import json
from pathlib import Path

import pytest

from p2pverify.engine.calibrate import SAMPLES_MIN, upper_bound_ppm
from p2pverify.node.files.manifestfile import load_manifest
from tests.cli.transcript import run

ANSWERS = 40
COMMAND = ("model", "calibrate", "--engine", "toy", "--paths", "toy/a,toy/b,exact")
SHORT = ("--prompts", str(ANSWERS), "--tokens", "24")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest with calibrations of two toy paths and of the referee's path."""
    folder = tmp_path_factory.mktemp("calibrated")
    path = folder / "toy.toml"
    done = run(folder, *COMMAND, *SHORT, "--manifest", str(path), "-o", str(folder / "out.json"))
    assert done.returncode == 0, done.stderr
    assert "toy.toml has 4 calibrations" in done.stderr
    assert "judging toy/a" in done.stderr
    assert "match up to" in done.stdout
    return path


def test_the_manifest_holds_every_pair(manifest: Path) -> None:
    """The two paths and the unknown path have the same thresholds. The referee's own are 0."""
    found = {one.numeric_path: one for one in load_manifest(manifest).calibrations}
    assert set(found) == {"*", "integer", "toy/a", "toy/b"}
    assert found["toy/a"].across == found["toy/b"].across == found["*"].across
    assert found["toy/a"].across.mismatch_base > 0 == found["integer"].across.mismatch_base
    assert (found["*"].samples, found["toy/a"].samples, found["integer"].samples) == (2 * ANSWERS, ANSWERS, SAMPLES_MIN)
    assert found["toy/a"].alarm_ppm == upper_bound_ppm(0, ANSWERS)
    assert all(one.tokens == 24 for one in found.values())


def test_the_document_says_what_was_measured(manifest: Path) -> None:
    """It has the figures of the manifest and their margins."""
    document = json.loads((manifest.parent / "out.json").read_text())
    assert (document["schema"], document["seed"]) == ("p2pverify/calibrate/1", 0)
    one = next(item for item in document["calibrations"] if item["numeric_path"] == "toy/a")
    assert (one["judge_engine"], one["engine"], one["samples"], one["alarms"]) == ("toy-exact/1", "toy/1", ANSWERS, 0)
    assert 0 < one["worst_peak_micronats"] <= 50_000


def test_a_second_run_replaces_and_adds(manifest: Path, tmp_path: Path) -> None:
    """Newer figures of a pair replace older ones, and other pairs stay."""
    copy = tmp_path / "copy.toml"
    copy.write_bytes(manifest.read_bytes())
    arguments = ("model", "calibrate", "--engine", "toy", "--paths", "toy/c", *SHORT, "--seed", "1")
    done = run(tmp_path, *arguments, "--manifest", str(copy), "--json")
    assert done.returncode == 0, done.stderr
    assert [item["numeric_path"] for item in json.loads(done.stdout)["calibrations"]] == ["*", "toy/c"]
    before, after = load_manifest(manifest), load_manifest(copy)
    assert {one.numeric_path for one in after.calibrations} == {"*", "integer", "toy/a", "toy/b", "toy/c"}
    kept = [one for one in after.calibrations if one.numeric_path in {"integer", "toy/a", "toy/b"}]
    assert kept == [one for one in before.calibrations if one.numeric_path != "*"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--paths", " , "), 2, "names no path"),
        (("--prompts", "39"), 2, "--prompts"),
        (("-o", "/nowhere/at/all.json"), 2, "its directory does not exist"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    """The error comes before any measurement."""
    done = run(tmp_path, "model", "calibrate", "--engine", "toy", *SHORT, *arguments)
    assert done.returncode == code
    assert message in done.stderr


def test_another_models_manifest_is_refused(manifest: Path, tmp_path: Path) -> None:
    """Thresholds of one model are never written to another model's manifest."""
    other = tmp_path / "other.toml"
    weights = load_manifest(manifest).weights.hex()
    other.write_text(manifest.read_text().replace(weights, "00" * 32))
    done = run(tmp_path, *COMMAND, *SHORT, "--manifest", str(other))
    assert done.returncode == 1
    assert "describes another model" in done.stderr
