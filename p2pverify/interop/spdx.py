"""SPDX 3.0.1 of a version, in JSON-LD: the profiles Core, Software, AI and Dataset. https://spdx.github.io/spdx-spec/v3.0.1/"""

import json

from p2pverify.core.contract.history.release import How
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.interop.facts import TOOL, VersionFacts, version_urn
from p2pverify.interop.foreign import Json

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_CREATION = "_:creation"
#: What SPDX calls the way in which a version came from its parents.
_FROM_PARENTS = {How.MERGE: "descendantOf", How.FINE_TUNE: "descendantOf", How.ROUND: "descendantOf"}


def write_spdx(facts: VersionFacts) -> str:
    """The document's JSON-LD."""
    own, agents = facts.urn, _agents(facts)
    graph: list[Json] = [
        {
            "type": "CreationInfo",
            "@id": _CREATION,
            "specVersion": "3.0.1",
            "created": facts.created,
            "createdBy": [agent["spdxId"] for agent in agents],
        },
        *agents,
        _document(own),
        _package(facts, agents[0]["spdxId"]),
        *(_file(own, number, file.path, file.sha256) for number, file in enumerate(facts.files)),
        *(_parent(facts, number) for number in range(len(facts.parents))),
        *(_dataset(facts, number) for number in range(len(facts.datasets))),
        *_licence(facts),
        *_relations(facts),
    ]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=2) + "\n"


def _agents(facts: VersionFacts) -> list[dict[str, Json]]:
    """The publishers; without any, this program, because every element has a creator."""
    if not facts.publishers:
        return [_element("SoftwareAgent", f"{facts.urn}#agent", TOOL)]
    return [
        _element("Agent", f"{facts.urn}#publisher-{number}", peer_id(key))
        for number, key in enumerate(facts.publishers)
    ]


def _element(kind: str, where: str, name: str) -> dict[str, Json]:
    return {"type": kind, "spdxId": where, "creationInfo": _CREATION, "name": name}


def _document(own: str) -> Json:
    return {
        "type": "SpdxDocument",
        "spdxId": f"{own}#document",
        "creationInfo": _CREATION,
        "profileConformance": ["core", "software", "ai", "dataset", "simpleLicensing"],
        "rootElement": [own],
    }


def _package(facts: VersionFacts, supplier: Json) -> Json:
    return {
        **_element("ai_AIPackage", facts.urn, facts.manifest.model),
        "verifiedUsing": [_hash(facts.manifest.weights)],
        "suppliedBy": supplier,
        "releaseTime": facts.created,
        "software_packageVersion": facts.version,
        "software_downloadLocation": facts.urn,
        "software_primaryPurpose": "model",
        "ai_typeOfModel": [f"language model, {facts.manifest.quantisation}"],
        "ai_hyperparameter": [
            {"type": "DictionaryEntry", "key": f"{TOOL}:{name}", "value": text} for name, text in facts.properties()
        ],
    }


def _file(own: str, number: int, path: str, digest: bytes) -> Json:
    return {**_element("software_File", f"{own}#file-{number}", path), "verifiedUsing": [_hash(digest)]}


def _parent(facts: VersionFacts, number: int) -> Json:
    parent = facts.parents[number]
    element: dict[str, Json] = {
        **_element("ai_AIPackage", version_urn(parent.manifest), parent.name),
        "software_downloadLocation": version_urn(parent.manifest),
        "software_packageVersion": parent.manifest.hex(),
        "software_primaryPurpose": "model",
    }
    if parent.weights is not None:
        element["verifiedUsing"] = [_hash(parent.weights)]
    return element


def _dataset(facts: VersionFacts, number: int) -> Json:
    data = facts.datasets[number]
    return {
        **_element("dataset_DatasetPackage", f"{facts.urn}#data-{number}", data.name),
        "verifiedUsing": [_hash(data.digest)],
        "software_downloadLocation": facts.urn,
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["structured"],
    }


def _hash(digest: bytes) -> Json:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest.hex()}


def _licence(facts: VersionFacts) -> list[Json]:
    licences = {f"{facts.urn}#licence": facts.manifest.licence}
    licences |= {f"{facts.urn}#data-{number}-licence": one.licence for number, one in enumerate(facts.datasets)}
    return [
        {
            "type": "simplelicensing_LicenseExpression",
            "spdxId": where,
            "creationInfo": _CREATION,
            "simplelicensing_licenseExpression": _expression(text),
        }
        for where, text in licences.items()
    ]


def _expression(licence: str) -> str:
    """The licence as an SPDX expression; NOASSERTION if it cannot be one."""
    text = licence.strip()
    allowed = all(char.isascii() and (char.isalnum() or char in "-.+() :") for char in text)
    if not text or text.lower() in {"unknown", "other"} or not allowed:
        return "NOASSERTION"
    return text


def _relations(facts: VersionFacts) -> list[Json]:
    own = facts.urn
    found: list[Json] = [_relation(facts, "hasDeclaredLicense", own, [f"{own}#licence"], "licence")]
    for number in range(len(facts.datasets)):
        data = f"{own}#data-{number}"
        found.append(_relation(facts, "hasDeclaredLicense", data, [f"{data}-licence"], f"data-{number}-licence"))
    if facts.files:
        files = [f"{own}#file-{number}" for number in range(len(facts.files))]
        found.append(_relation(facts, "contains", own, files, "files"))
    if facts.parents:
        kind = _FROM_PARENTS.get(facts.how, "generates")
        parents = [version_urn(parent.manifest) for parent in facts.parents]
        if kind == "generates":  # a deterministic tool made it from one parent
            found += [_relation(facts, kind, parent, [own], f"parent-{n}") for n, parent in enumerate(parents)]
        else:
            found.append(_relation(facts, kind, own, parents, "parents"))
    if facts.datasets:
        data_sets = [f"{own}#data-{number}" for number in range(len(facts.datasets))]
        found.append(_relation(facts, "trainedOn", own, data_sets, "data"))
    return found


def _relation(facts: VersionFacts, kind: str, start: str, ends: list[str], name: str) -> Json:
    return {
        "type": "Relationship",
        "spdxId": f"{facts.urn}#relation-{name}",
        "creationInfo": _CREATION,
        "from": start,
        "relationshipType": kind,
        "to": list(ends),
    }
