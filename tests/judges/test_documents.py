"""Bills of materials and cards: the schema of CycloneDX, the classes of SPDX, and Hugging Face's own reader."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import huggingface_hub as hub
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx_model

from p2pverify.interop import cyclonedx, modelcard, spdx
from p2pverify.interop.facts import VersionFacts
from tests.support.versions import FACTS

#: A model that is in no network: no release, no parents, no publisher.
PLAIN = VersionFacts(replace(FACTS.manifest, licence="unknown", calibrations=()), FACTS.files, FACTS.created_s)


def _set(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    place: Any = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value


def _errors(document: str) -> object:
    return JsonStrictValidator(SchemaVersion.V1_7).validate_str(document)


@pytest.mark.parametrize("facts", [FACTS, PLAIN], ids=["version", "plain"])
def test_cyclonedx_is_strictly_valid(facts: VersionFacts) -> None:
    assert _errors(cyclonedx.write_cyclonedx(facts)) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "component", "modelCard", "modelParameters", "task"), 5),
        (("metadata", "component", "pedigree", "ancestors", 0, "type"), "model"),
        (("metadata", "component", "hashes", 0, "content"), "abc"),
        (("serialNumber",), "urn:uuid:0"),
    ],
)
def test_a_wrong_cyclonedx_is_refused(path: tuple[str | int, ...], value: object) -> None:
    """So the schema judges what we rely on."""
    document = json.loads(cyclonedx.write_cyclonedx(FACTS))
    _set(document, path, value)
    assert _errors(json.dumps(document)) is not None


def _read_spdx(document: str) -> Any:
    found = spdx_model.SHACLObjectSet()
    spdx_model.JSONLDDeserializer().read(io.BytesIO(document.encode()), found)
    return found


@pytest.mark.parametrize("facts", [FACTS, PLAIN], ids=["version", "plain"])
def test_spdx_is_read_back(facts: VersionFacts) -> None:
    """Every reference leads to an element, and writing the objects again loses nothing."""
    document = spdx.write_spdx(facts)
    found = _read_spdx(document)
    assert found.link() == set()
    models = [one for one in found.foreach() if isinstance(one, spdx_model.ai_AIPackage)]
    own = next(one for one in models if one.name == facts.manifest.model)
    assert own.verifiedUsing[0].hashValue == facts.manifest.weights.hex()
    assert len(models) == 1 + len(facts.parents)
    data = [one for one in found.foreach() if isinstance(one, spdx_model.dataset_DatasetPackage)]
    assert [one.name for one in data] == [one.name for one in facts.datasets]
    files = [one for one in found.foreach() if isinstance(one, spdx_model.software_File)]
    assert sorted(one.name for one in files) == sorted(one.path for one in facts.files)
    again = io.BytesIO()
    spdx_model.JSONLDSerializer().write(found, again)
    kinds: Callable[[str], list[str]] = lambda text: sorted(one["type"] for one in json.loads(text)["@graph"])  # noqa: E731
    assert kinds(again.getvalue().decode()) == kinds(document)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("dataset_DatasetPackage", "dataset_datasetType", ["magic"]),
        ("Relationship", "relationshipType", "made"),
        ("CreationInfo", "created", "yesterday"),
    ],
)
def test_a_wrong_spdx_is_refused(kind: str, name: str, value: object) -> None:
    document = json.loads(spdx.write_spdx(FACTS))
    next(one for one in document["@graph"] if one["type"] == kind)[name] = value
    with pytest.raises((TypeError, ValueError)):
        _read_spdx(json.dumps(document))


def test_hugging_face_reads_our_card_and_we_read_theirs() -> None:
    """Their reader finds what we wrote; we find it in what they write."""
    card = hub.ModelCard(modelcard.write_card(FACTS))
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == ["someone/tiny-base"]
    assert card.data.base_model_relation == "quantized"
    assert card.data.to_dict()["p2pverify"]["manifest"] == FACTS.manifest.digest.hex()
    again = modelcard.read_card(str(card).encode())
    assert again.metadata == modelcard.read_card(modelcard.write_card(FACTS).encode()).metadata
