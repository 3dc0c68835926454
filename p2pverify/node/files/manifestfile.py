"""A manifest in a TOML file of its own: what is known of a model, ready to be put into network files.

The commands under `p2pverify model` add their findings about a machine to it; `network new --manifest` reads it.
"""

import os
import re
from pathlib import Path

import platformdirs

from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.errors import DecodeError
from p2pverify.node.files.manifesttable import ManifestTable, manifest_lines
from p2pverify.node.files.outputs import always, open_output
from p2pverify.node.files.textfile import FileError, user_path
from p2pverify.node.files.tomlfile import load_table
from p2pverify.node.ports import ModelInfo
from p2pverify.resources import resource

MANIFEST_FILE_BYTES_MAX = 196_608
ENVIRONMENT = "P2PVERIFY_MANIFESTS"


def load_manifest(path: Path) -> Manifest:
    """Read a manifest file of at most 192 KiB. Raises FileError."""
    missing = f"make it with 'p2pverify model selftest --manifest {path}'"
    table = load_table(path, ManifestTable, size_max=MANIFEST_FILE_BYTES_MAX, missing=missing)
    try:
        return decode_manifest(table.manifest().encode())
    except DecodeError as error:
        raise FileError(path, error.reason, "correct it, or make it again") from None


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest file, completely or not at all. Raises OutputError, and ValueError if it is too large."""
    try:
        decode_manifest(manifest.encode())
    except DecodeError as error:
        raise ValueError(error.reason) from None
    with open_output(path, always) as file:
        file.write("".join(f"{line}\n" for line in manifest_lines(manifest)).encode())


def own_folder() -> Path:
    """The folder of this user's manifests: the value of P2PVERIFY_MANIFESTS, else one beside other data of the user."""
    named = os.environ.get(ENVIRONMENT)
    return user_path(named) if named else platformdirs.user_data_path("p2pverify") / "manifests"


def own_path(model: str, weights: bytes) -> Path:
    """Where this user's manifest of a model lies, by its name and the SHA-256 of its weights (32 B)."""
    name = re.sub(r"[^a-z0-9._]+", "-", model.lower()).strip("-.")[:64]
    return own_folder() / f"{name or 'model'}-{weights[:8].hex()}.toml"


def keep_weights(model: str, weights: bytes, file: Path) -> Path:
    """Remember where the weights of a model lie: by a link beside this user's manifests. Returns the link.

    Raises FileError.
    """
    link = own_path(model, weights).with_suffix(".gguf")
    unfinished = link.with_name(f".{link.name}.{os.urandom(6).hex()}")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        unfinished.symlink_to(file.resolve())
        unfinished.replace(link)
    except OSError as error:
        raise FileError(link, f"cannot be written ({error.strerror})", "check its owner, mode and disk") from None
    return link


def kept_weights(weights: bytes = b"") -> list[Path]:
    """The remembered files of weights that still exist; with `weights` (a SHA-256) those of this digest only.

    Whether a file still has this digest is not checked.
    """
    pattern = f"*-{weights[:8].hex()}.gguf" if weights else "*.gguf"
    return [link for link in sorted(own_folder().glob(pattern)) if link.is_file()]


def known_manifest(info: ModelInfo) -> Manifest | None:
    """The manifest that ships with p2pverify for an engine's model, else this user's own, or None. Raises FileError."""
    shipped = sorted((resource("testnet") / "manifests").glob("*.toml"))
    for path in (*shipped, *sorted(own_folder().glob(f"*-{info.weights_sha256[:8].hex()}.toml"))):
        manifest = load_manifest(path)
        if describes(manifest, info):
            return manifest
    return None


def describes(manifest: Manifest, info: ModelInfo) -> bool:
    """Whether a manifest describes the model that an engine runs."""
    return (manifest.weights, manifest.tokenizer, manifest.template, manifest.quantisation) == (
        info.weights_sha256,
        info.tokenizer_sha256,
        info.template_sha256,
        info.quantisation,
    )
