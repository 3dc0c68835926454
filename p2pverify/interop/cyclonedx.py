"""CycloneDX 1.7 of a version: a bill of materials for machine learning, in JSON, with model card and pedigree.

https://cyclonedx.org/docs/1.7/json/
"""

import json
import uuid

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.interop.facts import TOOL, ParentFacts, VersionFacts, version_urn
from p2pverify.interop.foreign import Json

SCHEMA = "http://cyclonedx.org/schema/bom-1.7.schema.json"


def write_cyclonedx(facts: VersionFacts) -> str:
    """The document's JSON."""
    document: dict[str, Json] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": uuid.UUID(bytes=facts.manifest.digest[:16], version=4).urn,
        "version": 1,
        "metadata": {
            "timestamp": facts.created,
            "tools": {"components": [{"type": "application", "name": TOOL}]},
            "component": _model(facts),
        },
        "components": [*_files(facts), *_data(facts)],
    }
    return json.dumps(document, indent=2) + "\n"


def _files(facts: VersionFacts) -> list[Json]:
    return [
        {
            "type": "file",
            "bom-ref": f"{facts.urn}#file-{number}",
            "name": file.path,
            "hashes": [_hash(file.sha256)],
            "properties": [{"name": f"{TOOL}:bytes", "value": str(file.size)}],
        }
        for number, file in enumerate(facts.files)
    ]


def _data(facts: VersionFacts) -> list[Json]:
    return [
        {
            "type": "data",
            "bom-ref": f"{facts.urn}#data-{number}",
            "name": data.name,
            "hashes": [_hash(data.digest)],
            "licenses": _licences(data.licence),
        }
        for number, data in enumerate(facts.datasets)
    ]


def _model(facts: VersionFacts) -> Json:
    manifest = facts.manifest
    component: dict[str, Json] = {
        "type": "machine-learning-model",
        "bom-ref": facts.urn,
        "name": manifest.model,
        "version": facts.version,
        "hashes": [_hash(manifest.weights)],
        "licenses": _licences(manifest.licence),
        "modelCard": _card(facts),
        "properties": [{"name": f"{TOOL}:{name}", "value": text} for name, text in facts.properties()],
    }
    if facts.publishers:
        component["authors"] = [{"name": peer_id(key)} for key in facts.publishers]
    if facts.parents:
        notes = f"{facts.grade.value}: {facts.recipe_text or facts.how.name.lower()}"
        component["pedigree"] = {"ancestors": [_ancestor(parent) for parent in facts.parents], "notes": notes}
    return component


def _card(facts: VersionFacts) -> Json:
    parameters: dict[str, Json] = {
        "task": "text-generation",
        "modelArchitecture": facts.manifest.quantisation or "unknown",
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    }
    if facts.datasets:
        parameters["datasets"] = [{"ref": f"{facts.urn}#data-{number}"} for number in range(len(facts.datasets))]
    card: dict[str, Json] = {"modelParameters": parameters}
    if facts.manifest.calibrations:
        # How often a judge calls an honest answer of this model a mismatch: an upper bound of 95 %.
        metrics: list[Json] = [
            {
                "type": "honest answers called a mismatch, upper bound in ppm",
                "value": str(one.alarm_ppm),
                "slice": f"{one.engine} {one.numeric_path}, judged by {one.judge_engine} {one.judge_path}",
            }
            for one in facts.manifest.calibrations
        ]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _ancestor(parent: ParentFacts) -> Json:
    found: dict[str, Json] = {
        "type": "machine-learning-model",
        "bom-ref": version_urn(parent.manifest),
        "name": parent.name,
        "properties": [{"name": f"{TOOL}:manifest", "value": parent.manifest.hex()}],
    }
    if parent.weights is not None:
        found["hashes"] = [_hash(parent.weights)]
    return found


def _hash(digest: bytes) -> Json:
    return {"alg": "SHA-256", "content": digest.hex()}


def _licences(licence: str) -> Json:
    """By name: whether a text is the id of an SPDX licence depends on the version of their list."""
    return [{"license": {"name": licence}}] if licence else []
