"""The network file: the contract between TOML text for people and `core.contract.network.Network`.

Every rule is written out, because every rule counts: another number makes another network. The keys of [params] are the
fields of `Params`. The core's own decoder checks whether the keys together make a valid network.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

from p2pverify.core.contract.classes import ANY, Across, DeterminismClass
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.contract.network import CLASSES_MAX, PARAM_BOUNDS, Network, Origin, decode_network
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.node.endpoints.address import BOOTSTRAP_MAX
from p2pverify.node.engines.kinds import referee_path
from p2pverify.node.files.manifesttable import across_text, check_text, manifest_lines, toml_text
from p2pverify.node.files.networktable import (
    HONEST_PPM,
    NetworkTable,
    line_lines,
    params_of,
    read_founder,
    read_params,
    shape_lines,
)
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.files.tomlfile import parse_table
from p2pverify.node.settle.tarifffile import tariff_lines

if TYPE_CHECKING:
    from p2pverify.core.state.state import State
    from p2pverify.node.ports import ModelInfo

__all__ = [
    "HONEST_PPM",
    "NETWORK_FILE_BYTES_MAX",
    "add_model",
    "dump_network",
    "first_peers",
    "load_network",
    "load_start",
    "manifest_of",
    "new_network",
    "parse_network",
    "read_founder",
    "read_network",
    "read_params",
    "read_start_file",
    "state_path",
]
NETWORK_FILE_BYTES_MAX = 262_144
_STATE_HINT = (
    "this network begins with a state: put the file that 'p2pverify network fork' wrote beside the network file there"
)
_HINT = "correct the network file, or get the original again from a founder"


def load_network(path: Path) -> tuple[Network, tuple[Manifest, ...]]:
    """Read a network file of at most 256 KiB. Raises FileError, which names the line or the key."""
    return parse_network(path, read_network(path))


def read_network(path: Path) -> bytes:
    """The bytes of a network file, not parsed. Raises FileError."""
    return read_bytes(
        path,
        size_max=NETWORK_FILE_BYTES_MAX,
        missing="make one with 'p2pverify network new', or ask a founder of the network for it",
    )


def parse_network(path: Path, data: bytes) -> tuple[Network, tuple[Manifest, ...]]:
    """The network and the manifests in a network file's bytes. Raises FileError, which names the line or the key."""
    table = parse_table(path, data, NetworkTable)
    try:
        return _build(table)
    except DecodeError as error:
        raise FileError(path, error.reason, _HINT) from None


def first_peers(path: Path, data: bytes | None = None) -> tuple[str, ...]:
    """The bootstrap addresses in a network file; `data` are its bytes, if they were read. Raises FileError."""
    found = parse_table(path, read_network(path) if data is None else data, NetworkTable).bootstrap
    if len(found) > BOOTSTRAP_MAX:
        raise FileError(path, f"key 'bootstrap': at most {BOOTSTRAP_MAX} addresses can be given", _HINT)
    return found


# ---------------------------------------------------------------- the state of a forked network


def state_path(path: Path) -> Path:
    """Where the state lies with which the network of a network file begins: beside the file."""
    return path.with_name(f"{path.name}.state")


def read_start_file(path: Path, network: Network) -> bytes | None:
    """The bytes of the state that a network file's network begins with; None if it begins with founders.

    Raises FileError if the file beside is missing, or if it is not the state that the network file names.
    """
    if network.origin is None:
        return None
    data, _ = _read_start(state_path(path), network)
    return data


def load_start(path: Path, network: Network) -> "State | None":
    """The state that a network file's network begins with; None if it begins with founders. Raises FileError."""
    if network.origin is None:
        return None
    _, state = _read_start(state_path(path), network)
    return state


def _read_start(path: Path, network: Network) -> "tuple[bytes, State]":
    from p2pverify.core.state.codec.sections import STATE_BYTES_MAX  # noqa: PLC0415 - few networks begin with a state
    from p2pverify.core.state.fork import read_start  # noqa: PLC0415 - and its modules are slow to load

    data = read_bytes(path, size_max=STATE_BYTES_MAX, missing=_STATE_HINT)
    try:
        return data, read_start(network, data)
    except DecodeError as error:
        raise FileError(path, error.reason, _STATE_HINT) from None


def _build(table: NetworkTable) -> tuple[Network, tuple[Manifest, ...]]:
    manifests = tuple(decode_manifest(one.manifest().encode()) for one in table.manifest)
    digests = {m.digest for m in manifests} | {bytes.fromhex(digest) for digest in table.manifests}
    founders = [read_founder(founder) for founder in table.founders]
    if len(set(founders)) != len(founders):
        raise DecodeError("key 'founders': a founder is named twice")
    if founders and table.origin is not None:
        raise DecodeError("key 'founders': a network with an origin has no founders")
    network = Network(
        table.name,
        tuple(sorted(founders)),
        tuple(sorted(digests)),
        tuple(
            DeterminismClass(
                c.name,
                bytes.fromhex(c.manifest),
                c.engine,
                c.numeric_path,
                c.honest_ppm,
                None if c.across is None else c.across.across(),
            )
            for c in table.classes
        ),
        params_of(table.params, table.shapes),
        table.referee,
        None if table.origin is None else Origin(*map(bytes.fromhex, astuple(table.origin))),
        tuple(sorted((each.line() for each in table.lines), key=lambda line: line.genesis)),
        None if table.tariff is None else table.tariff.tariff(),
    )
    return decode_network(network.encode()), tuple(sorted(manifests, key=lambda m: m.digest))


# ---------------------------------------------------------------- writing


def dump_network(network: Network, manifests: Sequence[Manifest] = (), bootstrap: Sequence[str] = ()) -> str:
    """The text of a network file, with every rule written out."""
    inline = {manifest.digest for manifest in manifests}
    lines = [
        f"# Network {network.id.hex()}",
        "# This file is the contract: every peer needs it unchanged. Another value is another network.",
        f"name = {toml_text(network.name)}",
    ]
    if network.origin is None:
        lines.append(f"founders = {_list([peer_id(key) for key in network.founders])}")
    absent = [digest.hex() for digest in network.manifests if digest not in inline]
    if absent:
        lines.append(f"manifests = {_list(absent)}")
    if network.referee:
        lines.append(f"referee = {toml_text(network.referee)}")
    if bootstrap:
        lines += ["# First peers for nodes that name none. They are no rule, and may be changed."]
        lines.append(f"bootstrap = {_list(bootstrap)}")
    if network.params.shapes:
        lines += shape_lines(network.params.shapes)
    if network.origin is not None:
        lines += ["", "# The network begins with the state in the file beside this one, whose name ends in .state."]
        lines += ["[origin]", *(f'{name} = "{value.hex()}"' for name, value in asdict(network.origin).items())]
    lines += ["", "[params]"]
    lines += [f"{name} = {getattr(network.params, name)}" for name, _, _ in PARAM_BOUNDS]
    for manifest in sorted(manifests, key=lambda m: m.digest):
        lines += ["", f"[[manifest]]  # {manifest.digest.hex()}", *manifest_lines(manifest, "manifest.")]
    for c in network.classes:
        lines += ["", "[[class]]", f"name = {toml_text(c.name)}", f'manifest = "{c.manifest.hex()}"']
        lines += [f"engine = {toml_text(c.engine)}", f"numeric_path = {toml_text(c.numeric_path)}"]
        lines.append(f"honest_ppm = {c.honest_ppm}")
        if c.across is not None:
            lines.append(f"across = {across_text(c.across)}")
    lines += [*line_lines(network.lines), *tariff_lines(network.tariff)]
    return "\n".join(lines) + "\n"


def _list(items: Sequence[str]) -> str:
    return "[\n" + "".join(f"  {toml_text(item)},\n" for item in items) + "]"


def new_network(
    name: str,
    founders: Sequence[bytes],
    model_info: "ModelInfo",
    *,
    genesis_ms: int | None = None,
    provenance: str = "",
    class_name: str | None = None,
    honest_ppm: int = HONEST_PPM,
    known: Manifest | None = None,
    others: Sequence[tuple[str, str]] = (),
    unknown: bool = False,
    referee: str = "",
    across: Across | None = None,
    shapes: tuple[RequestShape, ...] = (),
    **params: int,
) -> tuple[Network, tuple[Manifest, ...]]:
    """A new contract around one model and its class, and the manifests that go with it.

    - `founders`: public keys (32 B each).
    - `genesis_ms`: the start of epoch 0 in Unix milliseconds; now by default.
    - `honest_ppm`: dissents allowed per million honest answers, in a class with equal bits.
    - `known`: a manifest of the same model, with the measurements for it.
    - `others`: engine and numeric path of each further class.
    - `unknown`: adds a class for machines of no other class.
    - `referee`: the engine of the referee, "" for none. Its thresholds for a class are those of the class's
      calibration, else those for unknown paths, else `across`.
    - `shapes`: the table of what owed questions look like; empty for the ranges in `params`.
    - `params`: fields of `Params`, each a number.

    Raises ValueError, with a sentence, if these do not make a valid network.
    """
    start = time.time_ns() // 1_000_000 if genesis_ms is None else genesis_ms
    manifest = manifest_of(model_info, provenance) if known is None else known
    chosen = replace(read_params({"genesis_ms": start, **params}), shapes=shapes)
    own = (model_info.engine, model_info.numeric_path)
    paths = list(dict.fromkeys((own, *others)))
    names = _class_names(paths, class_name or model_info.engine.split("/")[0])
    if unknown:
        paths.append((ANY, ANY))
        names.append("any")
    classes = tuple(
        DeterminismClass(title, manifest.digest, *path, honest_ppm, _across_of(manifest, referee, path, across))
        for title, path in zip(names, paths, strict=True)
    )
    network = Network(
        check_text(name),
        tuple(sorted(founders)),
        (manifest.digest,),
        classes,
        chosen,
        check_text(referee),
    )
    try:
        return decode_network(network.encode()), (decode_manifest(manifest.encode()),)
    except DecodeError as error:
        raise ValueError(error.reason) from None


def add_model(
    network: Network,
    manifests: Sequence[Manifest],
    added: Manifest,
    *,
    paths: Sequence[tuple[str, str]] = (),
    honest_ppm: int = HONEST_PPM,
    across: Across | None = None,
) -> tuple[Network, tuple[Manifest, ...]]:
    """The same contract with one more model: a class for each numeric path with golden answers in its manifest.

    `paths` are the engine and numeric path of each class instead, and `across` is as for `new_network`.
    If the network has a class for unknown machines, the model gets one too. Peers ask and judge only peers with their
    own model, so each model needs members of its own. Raises ValueError, with a sentence, if this makes no network.
    """
    chosen = list(paths) or [(path.engine, path.numeric_path) for path in added.golden.distinct()]
    if not chosen:
        raise ValueError(f"the manifest of {added.model} has no golden answers, so nobody can prove a class of it")
    if any(c.is_any for c in network.classes):
        chosen.append((ANY, ANY))
    taken = {c.name for c in network.classes}
    classes = list(network.classes)
    for path in chosen:
        stem = f"{added.model[:40]} {'any' if path[0] == ANY else path[1].partition('/')[0][:16]}"
        name = next(n for n in (stem, *(f"{stem}-{number}" for number in range(2, CLASSES_MAX + 2))) if n not in taken)
        taken.add(name)
        bounds = _across_of(added, network.referee, path, across)
        if network.referee and bounds is None:
            raise ValueError(
                f"the manifest of {added.model} does not say how {network.referee} should judge its answers"
            )
        classes.append(DeterminismClass(name, added.digest, *path, honest_ppm, bounds))
    listed = tuple(sorted({*network.manifests, added.digest}))
    try:
        made = decode_network(replace(network, manifests=listed, classes=tuple(classes)).encode())
    except DecodeError as error:
        raise ValueError(error.reason) from None
    return made, (*manifests, decode_manifest(added.encode()))


def _class_names(paths: Sequence[tuple[str, str]], first: str) -> list[str]:
    """Distinct class names: the first as given, the others after their numeric path."""
    names = [first]
    for _, numeric_path in paths[1:]:
        stem = numeric_path.partition("/")[0][:56]
        taken = sum(name == stem or name.startswith(f"{stem}-") for name in names)
        names.append(f"{stem}-{taken + 1}" if taken else stem)
    return names


def _across_of(manifest: Manifest, referee: str, path: tuple[str, str], usual: Across | None) -> Across | None:
    """The referee's thresholds for a path: its calibration, else the one for unknown paths, else `usual`."""
    if not referee:
        return None
    calibrated = manifest.bounds(referee, referee_path(referee))
    return calibrated.get(path) or calibrated.get((ANY, ANY)) or usual


def manifest_of(info: "ModelInfo", provenance: str = "") -> Manifest:
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
