"""The network file: the contract as people read and write it, in TOML, and as `core.network.Network`.

Every rule is written out, for it counts: another number is another network. Keys are those of `Params`. Whether
the whole makes a network is judged by the core's own decoder.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from p2pverify.core.errors import DecodeError
from p2pverify.core.manifest import Manifest, decode_manifest
from p2pverify.core.network import PARAM_BOUNDS, DeterminismClass, Network, Params, decode_network
from p2pverify.core.peerid import peer_id
from p2pverify.node.networktable import (
    HONEST_PPM,
    ManifestTable,
    NetworkTable,
    ParamsTable,
    check_text,
    read_founder,
)
from p2pverify.node.ports import ModelInfo
from p2pverify.node.tomlfile import FileError, describe, read_model

__all__ = [
    "HONEST_PPM",
    "NETWORK_FILE_BYTES_MAX",
    "ParamsTable",
    "dump_network",
    "load_network",
    "manifest_of",
    "new_network",
    "read_founder",
]
NETWORK_FILE_BYTES_MAX = 65_536
_HINT = "correct the network file, or ask whoever gave it to you for the original"


def load_network(path: Path) -> tuple[Network, tuple[Manifest, ...]]:
    """Read a network file of at most 64 KiB. Raises FileError, which names the line or the key."""
    table = read_model(
        path,
        NetworkTable,
        size_max=NETWORK_FILE_BYTES_MAX,
        missing="make one with 'p2pverify network new', or ask a founder of the network for it",
    )
    try:
        return _build(table)
    except DecodeError as error:
        raise FileError(path, error.reason, _HINT) from None


def _build(table: NetworkTable) -> tuple[Network, tuple[Manifest, ...]]:
    manifests = tuple(decode_manifest(_manifest(one).encode()) for one in table.manifest)
    digests = {m.digest for m in manifests} | {bytes.fromhex(digest) for digest in table.manifests}
    founders = [read_founder(founder) for founder in table.founders]
    if len(set(founders)) != len(founders):
        raise DecodeError("key 'founders': a founder is named twice")
    network = Network(
        table.name,
        tuple(sorted(founders)),
        tuple(sorted(digests)),
        tuple(
            DeterminismClass(c.name, bytes.fromhex(c.manifest), c.engine, c.numeric_path, c.honest_ppm)
            for c in table.classes
        ),
        Params(**table.params.model_dump()),
    )
    return decode_network(network.encode()), tuple(sorted(manifests, key=lambda m: m.digest))


def _manifest(table: ManifestTable) -> Manifest:
    return Manifest(
        table.model,
        bytes.fromhex(table.weights),
        bytes.fromhex(table.tokenizer),
        bytes.fromhex(table.template),
        table.quantisation,
        table.licence,
        table.provenance,
        None if table.parent is None else bytes.fromhex(table.parent),
    )


# ---------------------------------------------------------------- writing


def dump_network(network: Network, manifests: Sequence[Manifest] = ()) -> str:
    """The text of a network file, with every rule written out."""
    inline = {manifest.digest for manifest in manifests}
    lines = [
        f"# Network {network.id.hex()}",
        "# This file is the contract: every peer needs it unchanged. Another value is another network.",
        f"name = {_text(network.name)}",
        f"founders = {_list([peer_id(key) for key in network.founders])}",
    ]
    absent = [digest.hex() for digest in network.manifests if digest not in inline]
    if absent:
        lines.append(f"manifests = {_list(absent)}")
    lines += ["", "[params]"]
    lines += [f"{name} = {getattr(network.params, name)}" for name, _, _ in PARAM_BOUNDS]
    for manifest in sorted(manifests, key=lambda m: m.digest):
        lines += ["", *_manifest_lines(manifest)]
    for c in network.classes:
        lines += ["", "[[class]]", f"name = {_text(c.name)}", f'manifest = "{c.manifest.hex()}"']
        lines += [f"engine = {_text(c.engine)}", f"numeric_path = {_text(c.numeric_path)}"]
        lines.append(f"honest_ppm = {c.honest_ppm}")
    return "\n".join(lines) + "\n"


def _manifest_lines(manifest: Manifest) -> list[str]:
    lines = [f"[[manifest]]  # {manifest.digest.hex()}", f"model = {_text(manifest.model)}"]
    lines += [f'{name} = "{getattr(manifest, name).hex()}"' for name in ("weights", "tokenizer", "template")]
    lines += [f"{name} = {_text(getattr(manifest, name))}" for name in ("quantisation", "licence", "provenance")]
    if manifest.parent is not None:
        lines.append(f'parent = "{manifest.parent.hex()}"')
    return lines


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes, and that of DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(items: Sequence[str]) -> str:
    return "[\n" + "".join(f"  {_text(item)},\n" for item in items) + "]"


def new_network(
    name: str,
    founders: Sequence[bytes],
    model_info: ModelInfo,
    *,
    genesis_ms: int | None = None,
    provenance: str = "",
    class_name: str | None = None,
    honest_ppm: int = HONEST_PPM,
    **params: int,
) -> tuple[Network, tuple[Manifest, ...]]:
    """A new contract around one model and its class. Founders are public keys, further keywords those of Params.

    Epoch 0 begins at `genesis_ms`, by default now. Raises ValueError, with a sentence, if that makes no network.
    """
    start = time.time_ns() // 1_000_000 if genesis_ms is None else genesis_ms
    manifest = manifest_of(model_info, provenance)
    try:
        chosen = ParamsTable.model_validate({"genesis_ms": start, **params})
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    kind = DeterminismClass(
        class_name or model_info.engine.split("/")[0],
        manifest.digest,
        model_info.engine,
        model_info.numeric_path,
        honest_ppm,
    )
    network = Network(
        check_text(name),
        tuple(sorted(set(founders))),
        (manifest.digest,),
        (kind,),
        Params(**chosen.model_dump()),
    )
    try:
        return decode_network(network.encode()), (decode_manifest(manifest.encode()),)
    except DecodeError as error:
        raise ValueError(error.reason) from None


def manifest_of(info: ModelInfo, provenance: str = "") -> Manifest:
    """The manifest of the model that an engine runs."""
    return Manifest(
        info.model,
        info.weights_sha256,
        info.tokenizer_sha256,
        info.template_sha256,
        info.quantisation,
        info.licence,
        provenance,
        None,
    )
