"""The CNCF ModelPack layout of a version: an OCI image layout in a folder, whose layers are the files themselves.

A layer's digest is the file's SHA-256, the name of weights everywhere here. Tools such as `oras` push the folder to a
registry. https://github.com/modelpack/model-spec
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.interop.facts import TOOL, FileFacts, VersionFacts
from p2pverify.interop.foreign import ForeignError, Json, MismatchError, plain_path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
_LAYER = "application/vnd.cncf.model.{}.v1.raw"
_DOCUMENTS = (".md", ".txt", ".pdf")
_CODE = (".py", ".sh")
_WEIGHTS = (".gguf", ".safetensors", ".bin", ".pt")
_CHUNK_BYTES = 1 << 22


def write_layout(facts: VersionFacts, folder: Path, target: Path) -> bytes:
    """Write the layout of the version to the new folder `target`. Returns the digest (32 B) of its OCI manifest.

    The files lie in `folder`. A file that is not the one of the facts is refused, and then nothing is left. Raises
    MismatchError for it, ForeignError if the layout cannot be written.
    """
    if not facts.files:
        raise ForeignError("the layout needs files", "name the folder of the model's files")
    try:
        target.mkdir()
    except FileExistsError:
        raise ForeignError(f"{target} exists already", "name a new folder") from None
    except OSError as error:
        raise ForeignError(f"{target} cannot be made ({error.strerror})", "check the path") from None
    try:
        return _write(facts, folder, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise ForeignError(f"{target} cannot be written ({error.strerror})", "check the disk") from None
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _write(facts: VersionFacts, folder: Path, target: Path) -> bytes:
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for file in facts.files:
        _copy(folder / plain_path(file.path), file, blobs)
    layers: list[Json] = [_layer(file) for file in facts.files]
    config = _put(blobs, CONFIG_TYPE, _config(facts))
    manifest: Json = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": layers,
        "annotations": {
            f"{TOOL}.{name}": text for name, text in facts.properties() if name not in ("publisher", "parent")
        },
    }
    described = _put(blobs, MANIFEST_TYPE, manifest)
    described["annotations"] = {"org.opencontainers.image.ref.name": facts.version}
    index: Json = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [described]}
    (target / "index.json").write_bytes(_bytes(index))
    (target / "oci-layout").write_bytes(_bytes({"imageLayoutVersion": "1.0.0"}))
    return bytes.fromhex(str(described["digest"]).removeprefix("sha256:"))


def _copy(source: Path, file: FileFacts, blobs: Path) -> None:
    """Copy a file to its place by digest; a link to the same bytes would change with the source."""
    unfinished = blobs / f".{file.sha256.hex()}.{os.getpid()}"
    digest = hashlib.sha256()
    try:
        reading = source.open("rb")
    except OSError as error:
        raise ForeignError(f"{source} cannot be read ({error.strerror})", "name the folder of the files") from None
    with reading, unfinished.open("wb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
    if digest.digest() != file.sha256:
        raise MismatchError(f"{source} is not the file of this version: it has another SHA-256", "get the file again")
    unfinished.replace(blobs / file.sha256.hex())


def _layer(file: FileFacts) -> Json:
    suffix = Path(file.path).suffix.lower()
    kinds = {"doc": _DOCUMENTS, "code": _CODE, "weight": _WEIGHTS}
    kind = next((name for name, suffixes in kinds.items() if suffix in suffixes), "weight.config")
    return {
        "mediaType": _LAYER.format(kind),
        "digest": f"sha256:{file.sha256.hex()}",
        "size": file.size,
        "annotations": {"org.cncf.model.filepath": file.path},
    }


def _config(facts: VersionFacts) -> Json:
    manifest = facts.manifest
    described: dict[str, Json] = {
        "name": manifest.model or "unnamed",
        "version": facts.version,
        "createdAt": facts.created,
        "licenses": [manifest.licence],
    }
    if facts.publishers:
        described["authors"] = [peer_id(key) for key in facts.publishers]
    return {
        "descriptor": described,
        "config": {"format": "gguf", "quantization": manifest.quantisation},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256.hex()}" for file in facts.files]},
    }


def _put(blobs: Path, media_type: str, value: Json) -> dict[str, Json]:
    """Store a JSON blob, and describe it."""
    data = _bytes(value)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _bytes(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
