"""`model derive`, `export` and `import`: files with digests, documents of other formats, and drafts of manifests."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from p2pverify.core.contract.history.recipe import Merge, Quantise, decode_recipe
from p2pverify.core.contract.history.release import decode_statement
from p2pverify.core.encoding.sign import public_key
from p2pverify.interop.slsa import read_provenance
from p2pverify.node.files.home import Home
from p2pverify.node.files.manifestfile import load_manifest, save_manifest
from tests.cli.transcript import environment, run
from tests.engine.lineage.models import random_tensors, write
from tests.support.commands import run_command
from tests.support.versions import CREATED_S, FACTS, PRIVATE, PUBLIC, write_folder


@pytest.fixture
def weights(tmp_path: Path) -> list[str]:
    """Two models of one shape."""
    return [str(write(tmp_path / f"{seed}.gguf", random_tensors(seed))) for seed in (1, 2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "m.toml"
    save_manifest(path, FACTS.manifest)
    return str(path)


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key.pem").write_bytes(PRIVATE)
    (tmp_path / "key.pub").write_bytes(PUBLIC)
    return str(tmp_path / "key.pem")


# ---------------------------------------------------------------- derive


def test_a_file_is_derived_with_its_recipe(tmp_path: Path, weights: list[str]) -> None:
    target = tmp_path / "made.gguf"
    done = run(tmp_path, "model", "derive", weights[0], "--how", "quantise:q5_0", "-o", str(target), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "p2pverify/model-derive/1"
    assert document["sha256"] == sha256(target.read_bytes()).hexdigest()
    assert document["bytes"] == target.stat().st_size
    assert decode_recipe(bytes.fromhex(document["recipe"])) == Quantise("q5_0")
    again = run(tmp_path, "model", "derive", weights[0], "--how", "quantise:q5_0", "-o", str(target))
    assert (again.returncode, "exists already" in again.stderr) == (1, True)


def test_numerators_are_those_of_the_files_in_their_order(tmp_path: Path, weights: list[str]) -> None:
    """The recipe sorts the parents, so both command lines give one file."""
    found = []
    for number, (files, numerators) in enumerate(((weights, "2,4/6"), (weights[::-1], "2,1"))):
        target = tmp_path / f"{number}.made"
        how = f"merge:{numerators}:f16"
        done = run(tmp_path, "model", "derive", *files, "--how", how, "-o", str(target), "--json")
        assert done.returncode == 0, done.stderr
        found.append({**json.loads(done.stdout), "file": ""})
    assert found[0] == found[1]
    recipe = decode_recipe(bytes.fromhex(found[0]["recipe"]))
    assert isinstance(recipe, Merge)
    numerator = dict(recipe.parts)
    assert [numerator[sha256(Path(file).read_bytes()).digest()] for file in weights] == [1, 2]
    assert recipe.denominator == 3


@pytest.mark.parametrize(
    ("how", "count", "code", "reason"),
    [
        ("quantise:q9", 1, 2, "formats are f32, f16"),
        ("shell:rm", 1, 2, "none of quantise:FORMAT"),
        ("prune:", 1, 2, "is not a number"),
        ("prune:1-x", 1, 2, "is not a number"),
        ("prune:5-1", 1, 2, "no range"),
        ("prune:7", 1, 1, "cannot leave out layers [7]"),
        ("merge:1:f16", 2, 2, "1 numerators for 2 parents"),
        ("merge:1,-1:f16", 2, 2, "denominator is not above 0"),
        ("merge:1,0/1:f16", 2, 2, "numerator: not an integer other than 0"),
        ("quantise:q8_0", 2, 2, "only merge takes more than one file"),
    ],
)
def test_other_recipes_are_refused(
    tmp_path: Path, weights: list[str], how: str, count: int, code: int, reason: str
) -> None:
    before = set(tmp_path.iterdir())
    done = run(tmp_path, "model", "derive", *weights[:count], "--how", how, "-o", str(tmp_path / "made.gguf"))
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert set(tmp_path.iterdir()) == before


# ---------------------------------------------------------------- export


def _export(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """With the date of the facts."""
    settings = {**environment(tmp_path / "home"), "SOURCE_DATE_EPOCH": str(CREATED_S)}
    return run_command(["model", "export", *args], settings, tmp_path, deadline_s=60)


@pytest.mark.parametrize("form", ["spdx", "cyclonedx", "hf"])
def test_a_document_is_written(tmp_path: Path, folder: Path, manifest: str, form: str) -> None:
    """Equal files and an equal date give equal bytes."""
    found = []
    for name in ("one", "two"):
        target = tmp_path / name
        done = _export(tmp_path, "--format", form, "--manifest", manifest, "-o", str(target), str(folder), "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["sha256"] == sha256(target.read_bytes()).hexdigest()
        assert (document["format"], document["files"]) == (form, len(FACTS.files))
        found.append(target.read_bytes())
    assert found[0] == found[1]
    assert FACTS.manifest.weights.hex().encode() in found[0]


def test_a_release_is_described_with_its_lineage(tmp_path: Path, folder: Path) -> None:
    """A changed file ends with 5."""
    statement, target = tmp_path / "release", tmp_path / "bom.json"
    statement.write_bytes(FACTS.release.statement(FACTS.network or b""))
    args = ("--format", "cyclonedx", "--release", str(statement), "--line", "tiny", "-o", str(target), str(folder))
    done = _export(tmp_path, *args)
    assert done.returncode == 0, done.stderr
    component = json.loads(target.read_bytes())["metadata"]["component"]
    assert component["version"] == "2"
    assert component["pedigree"]["notes"] == "claimed: gguf-quantise/1 [q5_0]"
    assert decode_statement(statement.read_bytes())[1].parents[0].hex() in target.read_text()
    (folder / "a" / "b.txt").write_text("other")
    done = _export(tmp_path, *args, "--force")
    assert (done.returncode, "a/b.txt is not the file of the release" in done.stderr) == (5, True)
    statement.write_bytes(statement.read_bytes()[:-1])
    done = _export(tmp_path, *args, "--force")
    assert (done.returncode, "no statement of a release: truncated" in done.stderr) == (1, True)


def test_a_provenance_is_signed_by_the_home(tmp_path: Path, folder: Path, manifest: str) -> None:
    args = ("--format", "slsa", "--manifest", manifest, "-o", str(tmp_path / "p.json"), str(folder))
    done = _export(tmp_path, *args)
    assert (done.returncode, "init" in done.stderr) == (2, True)
    home = Home(tmp_path / "home")
    home.init()
    assert _export(tmp_path, *args).returncode == 0
    assert read_provenance((tmp_path / "p.json").read_bytes())[0] == [public_key(home.load_identity())]


def test_a_layout_is_a_new_folder(tmp_path: Path, folder: Path, manifest: str) -> None:
    args = ("--format", "oci", "--manifest", manifest, "-o", str(tmp_path / "layout"), str(folder))
    assert _export(tmp_path, *args).returncode == 0
    assert {path.name for path in (tmp_path / "layout").iterdir()} == {"blobs", "index.json", "oci-layout"}
    done = _export(tmp_path, *args)
    assert (done.returncode, "exists already" in done.stderr) == (1, True)


def test_options_that_do_not_fit_are_refused(tmp_path: Path, folder: Path, manifest: str, key: str) -> None:
    target = str(tmp_path / "x")
    for args, reason in (
        (("--format", "spdx", "-o", target, str(folder)), "either --manifest, --release or --version"),
        (("--format", "oms", "--manifest", manifest, "-o", target, str(folder)), "--key belongs to"),
        (("--format", "spdx", "--manifest", manifest, "--key", key, "-o", target, str(folder)), "--key belongs to"),
        (("--format", "spdx", "--manifest", manifest, "-o", target, str(tmp_path / "no")), "no such folder"),
    ):
        done = _export(tmp_path, *args)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
    (folder / "tiny.gguf").write_bytes(b"other")
    done = _export(tmp_path, "--format", "spdx", "--manifest", manifest, "-o", target, str(folder))
    assert (done.returncode, "does not have the weights" in done.stderr) == (5, True)
    assert not Path(target).exists()


# ---------------------------------------------------------------- import


def test_a_signed_folder_becomes_a_draft(tmp_path: Path, key: str, weights: list[str]) -> None:
    """What the file says, what the card says, and who signed; a changed byte ends with 5."""
    folder, target = tmp_path / "theirs", tmp_path / "draft.toml"
    folder.mkdir()
    Path(weights[0]).replace(folder / "model.gguf")
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: a/b\n---\n# Model\n")
    plain = run(tmp_path, "model", "import", str(folder), "-o", str(target))
    assert plain.returncode == 0, plain.stderr
    assert "not verified  the folder has no signature" in plain.stdout
    draft = load_manifest(target)
    assert (draft.model, draft.licence, draft.provenance) == ("tiny", "mit", "made from a/b")
    assert draft.weights == sha256((folder / "model.gguf").read_bytes()).digest()
    bundle = str(folder / "model.sig")
    done = _export(tmp_path, "--format", "oms", "--manifest", str(target), "--key", key, "-o", bundle, str(folder))
    assert done.returncode == 0, done.stderr
    args = ("model", "import", str(folder), "--key", key.replace(".pem", ".pub"), "--json")
    done = run(tmp_path, *args)
    assert done.returncode == 0, done.stderr
    assert "the signature over 2 files, by the given key" in json.loads(done.stdout)["verified"]
    (folder / "README.md").write_text("changed")
    done = run(tmp_path, *args)
    assert (done.returncode, "changed: README.md" in done.stderr) == (5, True)


def test_a_card_that_cannot_be_read_is_told(tmp_path: Path, weights: list[str]) -> None:
    """The draft has the words of the file alone."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    Path(weights[0]).replace(folder / "model.gguf")
    (folder / "README.md").write_text("---\nlicense: &a mit\n---\n")
    done = run(tmp_path, "model", "import", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["licence"] == "unknown"
    assert any("cannot be read: the metadata of a model card have an anchor" in one for one in document["unverified"])


def test_a_folder_without_a_model_is_refused(tmp_path: Path, folder: Path, key: str) -> None:
    done = run(tmp_path, "model", "import", str(folder))
    assert (done.returncode, "not a GGUF file" in done.stderr) == (1, True), done.stderr
    (folder / "tiny.gguf").unlink()
    done = run(tmp_path, "model", "import", str(folder))
    assert (done.returncode, "0 GGUF files" in done.stderr) == (1, True)
    done = run(tmp_path, "model", "import", str(folder), "--weights", str(folder / "a-b.txt"), "--key", key)
    assert (done.returncode, "there is no signature" in done.stderr) == (2, True)
