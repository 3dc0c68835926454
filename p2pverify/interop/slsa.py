"""SLSA provenance v1 of a version: an in-toto statement in a DSSE envelope, signed with an Ed25519 key of the network.

The key id is the peer id. https://slsa.dev/spec/v1.0/provenance
"""

import json

from p2pverify.core.contract.history.recipe import decode_recipe
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.interop.dsse import STATEMENT_TYPE, Envelope, read_envelope, read_statement, seal
from p2pverify.interop.facts import VersionFacts, version_urn
from p2pverify.interop.foreign import ForeignError, Json, MismatchError, parse_json

PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:p2pverify:release:1"
ENVELOPE_BYTES_MAX = 1 << 20


def provenance(facts: VersionFacts) -> Json:
    """The statement: which files, made from which models and data sets, how."""
    recipe = None if facts.release is None else facts.release.recipe
    parameters: dict[str, Json] = {"how": facts.how.name.lower(), "line": facts.line, "number": int(facts.version)}
    if facts.network is not None:
        parameters["network"] = facts.network.hex()
    if recipe is not None:
        parameters |= {"tool": decode_recipe(recipe).TOOL, "recipe": recipe.hex()}
    parents: list[Json] = [
        {
            "name": parent.name,
            "uri": version_urn(parent.manifest),
            "digest": {"sha256": (parent.weights or parent.manifest).hex()},
            "annotations": {"of": "weights" if parent.weights else "manifest"},
        }
        for parent in facts.parents
    ]
    data: list[Json] = [{"name": one.name, "digest": {"sha256": one.digest.hex()}} for one in facts.datasets]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file.path, "digest": {"sha256": file.sha256.hex()}} for file in facts.files],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": [*parents, *data],
            },
            "runDetails": {
                "builder": {"id": facts.urn},
                "metadata": {"invocationId": facts.manifest.digest.hex(), "finishedOn": facts.created},
                "byproducts": [{"name": name, "annotations": {"value": text}} for name, text in facts.properties()],
            },
        },
    }


def write_provenance(facts: VersionFacts, seed: bytes) -> bytes:
    """The envelope's JSON, signed with the Ed25519 key of this seed (32 B)."""
    if not facts.files:
        raise ForeignError("a provenance needs a file that it is about", "name the folder of the model's files")
    keyid = peer_id(sign.public_key(seed))
    envelope = seal(provenance(facts), [(keyid, lambda data: sign.sign(seed, data))])
    return json.dumps(envelope.to_json(), separators=(",", ":")).encode()


def read_provenance(data: bytes) -> tuple[list[bytes], list[Json], Json]:
    """The Ed25519 keys whose signatures hold, the subjects and the predicate of an envelope.

    A signature counts if its key id is the peer id of its key. Raises MismatchError if none holds, ForeignError for
    other bytes.
    """
    envelope = read_envelope(parse_json(data, size_max=ENVELOPE_BYTES_MAX))
    subjects, predicate = read_statement(envelope.payload, PREDICATE)
    keys = [key for keyid, signature in envelope.signatures if (key := _holds(envelope, keyid, signature))]
    if not keys:
        raise MismatchError("no signature of the provenance holds", "get it from a publisher again")
    return keys, subjects, predicate


def _holds(envelope: Envelope, keyid: str, signature: bytes) -> bytes | None:
    try:
        key = key_of(keyid)
    except DecodeError:
        return None
    return key if sign.verify(key, envelope.signed, signature) else None
