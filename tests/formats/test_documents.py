"""What the writers write: equal facts give equal bytes, and every fact has its place. `tests/judges` has the judges."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.history.recipe import Merge, encode_recipe
from p2pverify.core.contract.history.release import Grade, How
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.interop import cyclonedx, modelcard, modelpack, slsa, spdx
from p2pverify.interop.croissant import TYPES, Column, DataCard, write_croissant
from p2pverify.interop.facts import VersionFacts, version_urn
from p2pverify.interop.foreign import ForeignError, MismatchError, member
from tests.support.versions import CONTENTS, FACTS, SEED, write_folder

PLAIN = VersionFacts(replace(FACTS.manifest, licence="unknown", calibrations=()), FACTS.files, FACTS.created_s)
#: SHA-256 of the documents of FACTS. A change of a writer changes them, and then the judges should run again.
GOLDEN = {
    "spdx": "dc838b5505e3f117e5999871a89e36d15946bc13e3255c4b78a49b30f7ed5216",
    "cyclonedx": "a290da36b280ab70b0af4733eca0e26ec4fe806ca60e316c7032a4a59bfb2647",
    "hf": "8e54ded7941a5e1ff46359d5de2965de70e207c5bd06a1018d33775dc7b615af",
    "slsa": "0f0a7630f8911dc0423a080ac2d67f1e07b985d5e88698f2e945b28bb11b8162",
}
WRITERS = {
    "spdx": lambda facts: spdx.write_spdx(facts).encode(),
    "cyclonedx": lambda facts: cyclonedx.write_cyclonedx(facts).encode(),
    "hf": lambda facts: modelcard.write_card(facts).encode(),
    "slsa": lambda facts: slsa.write_provenance(facts, SEED),
}
WEIGHTS = FACTS.manifest.weights.hex()


@pytest.mark.parametrize("name", WRITERS)
def test_a_document_has_known_bytes(name: str) -> None:
    data = WRITERS[name](FACTS)
    assert data == WRITERS[name](FACTS)
    assert sha256(data).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", ["spdx", "cyclonedx", "hf"])
def test_a_document_has_every_fact(name: str) -> None:
    text = WRITERS[name](FACTS).decode()
    own = [WEIGHTS, FACTS.manifest.digest.hex(), FACTS.manifest.model, peer_id(FACTS.publishers[0]), "current", "tiny"]
    files = [file.sha256.hex() for file in FACTS.files]
    parents = ["someone/tiny-base", FACTS.parents[0].manifest.hex(), (FACTS.parents[0].weights or b"").hex()]
    lineage = ["recomputed", "gguf-quantise/1 [q5_0]", "test net", (FACTS.network or b"").hex()]
    assert [fact for fact in own + files + parents + lineage if fact not in text] == []


def test_a_provenance_names_what_it_was_made_from() -> None:
    keys, subjects, predicate = slsa.read_provenance(slsa.write_provenance(FACTS, SEED))
    assert keys == [public_key(SEED)]
    assert [member(subject, "name") for subject in subjects] == sorted(CONTENTS)
    assert FACTS.release is not None
    recipe = FACTS.release.recipe or b""
    assert member(predicate, "buildDefinition", "externalParameters", "recipe") == recipe.hex()
    made_from = member(predicate, "buildDefinition", "resolvedDependencies")
    assert isinstance(made_from, list)
    parents, data = made_from
    assert member(parents, "uri") == version_urn(FACTS.parents[0].manifest)
    assert member(data, "digest", "sha256") == FACTS.datasets[0].digest.hex()


def test_a_merge_has_all_its_parents() -> None:
    """A recipe with bytes is shown in hexadecimal."""
    other = replace(FACTS.parents[0], name="second", manifest=bytes([9]) * 32, weights=None)
    recipe = encode_recipe(Merge(((bytes(32), 1), (bytes([6]) * 32, -1)), 2, "f16"))
    assert FACTS.release is not None
    release = replace(FACTS.release, how=How.MERGE, recipe=recipe, parents=(FACTS.parents[0].manifest, other.manifest))
    facts = replace(FACTS, release=release, parents=(*FACTS.parents, other), grade=Grade.CLAIMED)
    assert facts.recipe_text == f"gguf-merge/1 [[[{'00' * 32}, 1], [{'06' * 32}, -1]], 2, f16]"
    graph = json.loads(spdx.write_spdx(facts))["@graph"]
    (relation,) = [one for one in graph if one.get("relationshipType") == "descendantOf"]
    assert relation["to"] == [version_urn(one.manifest) for one in facts.parents]
    assert modelcard.read_card(modelcard.write_card(facts).encode()).first("base_model_relation") == "merge"


def test_a_model_in_no_network_has_no_lineage() -> None:
    document = json.loads(cyclonedx.write_cyclonedx(PLAIN))
    component = document["metadata"]["component"]
    assert ("pedigree" in component, "authors" in component, component["version"]) == (False, False, "1")
    graph = json.loads(spdx.write_spdx(PLAIN))["@graph"]
    licences = [one for one in graph if one["type"] == "simplelicensing_LicenseExpression"]
    assert [one["simplelicensing_licenseExpression"] for one in licences] == ["NOASSERTION"]
    assert modelcard.read_card(modelcard.write_card(PLAIN).encode()).first("license") == "unknown"


_texts = st.text(max_size=40)


@given(_texts, _texts, _texts)
@settings(max_examples=40)
def test_any_text_of_a_manifest_is_read_back(model: str, licence: str, provenance: str) -> None:
    """Names and licences are words of strangers. No text breaks out of its field in YAML or JSON."""
    manifest = replace(FACTS.manifest, model=model, licence=licence, provenance=provenance)
    facts = replace(FACTS, manifest=manifest)
    card = modelcard.write_card(facts)
    own = modelcard.read_card(card.encode()).metadata["p2pverify"]
    assert member(own, "weights") == WEIGHTS
    printable = "".join(char for char in model if char.isprintable())
    if printable == model and model.strip() == model:
        assert member(own, "model") == model
    for document in (cyclonedx.write_cyclonedx(facts), spdx.write_spdx(facts)):
        json.loads(document)
    assert json.loads(cyclonedx.write_cyclonedx(facts))["metadata"]["component"]["name"] == model


def test_a_croissant_card_describes_columns() -> None:
    card = DataCard(
        name="rows",
        description="Some rows.",
        columns=tuple(Column(f"c{number}", kind, "meaning") for number, kind in enumerate(TYPES)),
        file="data/rows.csv",
        sha256=bytes(32),
        licence="CC-BY-4.0",
        published="2026-11-29",
        url="urn:p2pverify:data:rows",
    )
    document = json.loads(write_croissant(card))
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert document["distribution"][0]["sha256"] == "00" * 32
    fields = document["recordSet"][0]["field"]
    assert [(one["name"], one["dataType"]) for one in fields] == [(f"c{n}", TYPES[k]) for n, k in enumerate(TYPES)]
    assert {one["source"]["fileObject"]["@id"] for one in fields} == {"data/rows.csv"}
    with pytest.raises(ForeignError):
        write_croissant(replace(card, file="../rows.csv"))


# ---------------------------------------------------------------- ModelPack


def test_a_layout_has_the_files_by_their_digests(tmp_path: Path) -> None:
    folder, target = write_folder(tmp_path / "model"), tmp_path / "layout"
    digest = modelpack.write_layout(FACTS, folder, target)
    blobs = target / "blobs" / "sha256"
    for path in blobs.iterdir():
        assert sha256(path.read_bytes()).hexdigest() == path.name
    assert all((blobs / one.sha256.hex()).is_file() for one in FACTS.files)
    manifest = json.loads((blobs / digest.hex()).read_bytes())
    kinds = {
        one["annotations"]["org.cncf.model.filepath"]: one["mediaType"].split(".")[-3] for one in manifest["layers"]
    }
    assert kinds == {"README.md": "doc", "a-b.txt": "doc", "a/b.txt": "doc", "tiny.gguf": "weight"}
    index = json.loads((target / "index.json").read_bytes())
    assert index["manifests"][0]["digest"] == f"sha256:{digest.hex()}"
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    assert config["modelfs"]["diffIds"] == [one["digest"] for one in manifest["layers"]]
    assert modelpack.write_layout(FACTS, folder, tmp_path / "again") == digest


def test_a_changed_file_leaves_no_layout(tmp_path: Path) -> None:
    folder, target = write_folder(tmp_path / "model"), tmp_path / "layout"
    (folder / "tiny.gguf").write_bytes(b"other")
    with pytest.raises(MismatchError, match="another SHA-256"):
        modelpack.write_layout(FACTS, folder, target)
    (folder / "tiny.gguf").unlink()
    with pytest.raises(ForeignError, match="cannot be read"):
        modelpack.write_layout(FACTS, folder, target)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(ForeignError, match="exists already"):
        modelpack.write_layout(FACTS, folder, target)
