"""The network file: the contract as people read and write it, in TOML, and as `core.network.Network`.

Every rule is written out, for it counts: another number is another network. Keys are those of `Params`. Whether
the whole makes a network is judged by the core's own decoder.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from p2pverify.core.errors import DecodeError
from p2pverify.core.manifest import Manifest, decode_manifest
from p2pverify.core.network import PARAM_BOUNDS, DeterminismClass, Network, Params, decode_network
from p2pverify.core.peerid import key_of, peer_id
from p2pverify.core.sign import is_valid_key
from p2pverify.node.ports import ModelInfo
from p2pverify.node.tomlfile import FileError, describe, read_model

NETWORK_FILE_BYTES_MAX = 65_536
HONEST_PPM = 1000  # of a class in which equal inputs give equal bits
_BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS}
_HINT = "correct the network file, or ask whoever gave it to you for the original"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParamsTable(_Table):
    """The rules in numbers, with their usual values. Units and meanings: `core.network.Params`."""

    genesis_ms: StrictInt
    epoch_ms: StrictInt = 60_000
    slots_milli: StrictInt = 2000
    panel_size: StrictInt = 3
    prompt_tokens: StrictInt = 12
    answer_tokens: StrictInt = 16
    temperature_milli: StrictInt = 800
    greedy_percent: StrictInt = 20
    anchor_lag: StrictInt = 1
    anchor_window: StrictInt = 4
    duty_epochs: StrictInt = 8
    dispute_epochs: StrictInt = 16
    disputes_per_cut: StrictInt = 8
    fork_epochs: StrictInt = 64
    cheat_ppm: StrictInt = 100_000
    conviction_odds: StrictInt = 1_000_000
    weight_changes_per_cut: StrictInt = 1
    admission_epochs: StrictInt = 4

    @field_validator("*")
    @classmethod
    def _in_bounds(cls, value: int, info: ValidationInfo) -> int:
        low, high = _BOUNDS[str(info.field_name)]
        if not low <= value <= high:
            raise ValueError(f"{value} is not from {low} to {high}")
        return value


class ManifestTable(_Table):
    """A model, described by digests (64 hex digits)."""

    model: StrictStr
    weights: StrictStr
    tokenizer: StrictStr
    template: StrictStr
    quantisation: StrictStr
    licence: StrictStr
    provenance: StrictStr = ""
    parent: StrictStr | None = None

    @field_validator("weights", "tokenizer", "template", "parent")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        return None if value is None else check_digest(value)

    @field_validator("model", "quantisation", "licence", "provenance")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)


class ClassTable(_Table):
    """A determinism class. `manifest` is a manifest's digest."""

    name: StrictStr
    manifest: StrictStr
    engine: StrictStr
    numeric_path: StrictStr
    honest_ppm: Annotated[StrictInt, Field(ge=1, le=999_998)] = HONEST_PPM

    @field_validator("manifest")
    @classmethod
    def _digest(cls, value: str) -> str:
        return check_digest(value)

    @field_validator("name", "engine", "numeric_path")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)


class NetworkTable(_Table):
    """The whole file. `manifests` lists digests of manifests that are not in the file."""

    name: StrictStr
    founders: tuple[StrictStr, ...]
    manifests: tuple[StrictStr, ...] = ()
    params: ParamsTable
    manifest: tuple[ManifestTable, ...] = ()
    classes: tuple[ClassTable, ...] = Field(alias="class")

    @field_validator("name")
    @classmethod
    def _text(cls, value: str) -> str:
        return check_text(value)

    @field_validator("founders")
    @classmethod
    def _founders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for founder in value:
            read_founder(founder)
        return value

    @field_validator("manifests")
    @classmethod
    def _digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_digest(digest) for digest in value)


def check_digest(text: str) -> str:
    """64 hex digits in lower case, or ValueError."""
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is not a SHA-256 digest in 64 lower-case hex digits")
    return text


def check_text(text: str) -> str:
    """One line that is safe to show on a terminal, or ValueError."""
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} holds control characters")
    return text


def read_founder(text: str) -> bytes:
    """The public key of a founder's peer id, or ValueError."""
    try:
        key = key_of(text)
    except DecodeError:
        key = bytes(32)
    if not is_valid_key(key):
        raise ValueError(f"{text[:80]!r} is not a peer id; 'p2pverify init' prints one (12D3Koo...)")
    return key


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
        chosen = ParamsTable(genesis_ms=start, **params)
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
