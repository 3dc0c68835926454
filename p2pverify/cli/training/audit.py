"""`train audit`: a decided round is run again on this machine, from blobs of this home."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.params import WEIGHTS, InputFile
from p2pverify.cli.table import pairs

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.replica.fold import Fold
    from p2pverify.node.training.audit import RoundAudit
    from p2pverify.node.training.versions import RoundBase

SCHEMA = "p2pverify/round-audit/1"
_WEIGHTS_BYTES_MAX = 2**20


@click.command("audit")
@click.argument("name", metavar="LINE/ROUND")
@click.option("--ledger", type=InputFile(), metavar="FILE", help="An export, instead of the records of this home.")
@click.option("--weights", type=WEIGHTS, help="The weights of version 0 (default: those of config.toml).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def audit(name: str, ledger: Path | None, weights: Path | None, as_json: bool) -> None:
    """Run a decided round again on this machine, and compare.

    All records are verified first. The updates and the rows that contributors showed come from this home, and the node
    need not run. They are there for some cuts after the round.

    Exit 5 if the ledger does not verify, or if the round gives another result than the decided one.
    """
    from p2pverify.cli.show.held import recompute
    from p2pverify.core.records.payloads.rounds.place import RoundPlace
    from p2pverify.engine.trainer import TabularTrainer
    from p2pverify.node.training.audit import audit_round, find_round

    line_name, number = read_round(name)
    held = recompute(ledger, None, as_json=as_json)
    lines = {line.name: index for index, line in enumerate(held.fold.network.lines) if line.training is not None}
    if line_name not in lines:
        raise CliError(f"no line {line_name} is trained in rounds; known: {', '.join(lines) or 'none'}")
    found = find_round(held.fold, held.cut, RoundPlace(lines[line_name], number))
    began = time.perf_counter()
    read = _reader()
    base = _base(held.fold, found.order.base, read, weights)
    done = audit_round(found, TabularTrainer(), base, read)
    took_ms = round(1000 * (time.perf_counter() - began))
    click.echo(json.dumps(_document(name, done, took_ms)) if as_json else _text(name, done, took_ms))
    if done.differences:
        raise NotVerifiedError(
            f"{name} gives another result than the decided one", "run it on another machine; a bug or two thirds lie"
        )


def read_round(name: str) -> tuple[str, int]:
    """The name of a line, and the number of a round. Raises BadParameter."""
    line, slash, number = name.rpartition("/")
    if not (slash and line and number.isascii() and number.isdecimal() and 0 < len(number) <= 9 and int(number)):
        raise click.BadParameter("name a line and a round, such as cells/3", param_hint="LINE/ROUND")
    return line, int(number)


def _reader() -> Callable[[bytes], bytes | None]:
    """Reads blobs of this home by their SHA-256: those of rounds, and weights."""
    from p2pverify.core.encoding.canon import sha256

    home = current_home()
    folders = (home.path / "rounds", home.blobs_path)

    def read(digest: bytes) -> bytes | None:
        for folder in folders:
            path = folder / digest.hex()[:2] / digest.hex()
            data = path.read_bytes() if path.is_file() else b""
            if data and sha256(data) == digest:
                return data
        return None

    return read


def _base(fold: "Fold", manifest: bytes, read: Callable[[bytes], bytes | None], weights: Path | None) -> "RoundBase":
    """The weights and the manifest from which a round started. Raises RoundAuditError."""
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.encoding.canon import sha256
    from p2pverify.node.files.config import load_config
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.training.audit import RoundAuditError
    from p2pverify.node.training.versions import RoundBase

    home = current_home()
    kept = read(manifest)
    _, listed = load_network(home.network_path)
    found = decode_manifest(kept) if kept else _listed(listed, fold, manifest)
    if found is None:
        raise RoundAuditError(
            "this home does not have the manifest of the version from which the round started",
            "run the command in the home of a node that takes part in the line",
        )
    data = read(found.weights)
    for path in (weights, load_config(home.config_path).weights):
        if data is None and path is not None and path.is_file():
            data = path.read_bytes()[: _WEIGHTS_BYTES_MAX + 1]
            data = data if sha256(data) == found.weights else None
    if data is None:
        raise RoundAuditError(
            "the weights of the version from which the round started are not on this machine",
            "name the file of version 0 with --weights",
        )
    return RoundBase(data, found)


def _listed(listed: "Sequence[Manifest]", fold: "Fold", manifest: bytes) -> "Manifest | None":
    """A manifest of the network file, or of a release."""
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.records.envelope import Kind
    from p2pverify.core.records.payloads.lines.release import decode_signed_release

    for record in fold.ledger.records():
        if record.kind == Kind.RELEASE:
            release = decode_signed_release(record.payload).release
            if release.manifest_digest == manifest:
                return decode_manifest(release.manifest)
    return next((each for each in listed if each.digest == manifest), None)


def _document(name: str, done: "RoundAudit", took_ms: int) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "round": name,
        "holds": not done.differences,
        "differences": list(done.differences),
        "updates": len(done.found.rows),
        "gain": done.found.gain,
        "weights": done.found.weights.hex(),
        "manifest": done.found.manifest.hex(),
        "agreed": done.round.agreed,
        "voters": done.round.voters,
        "took_ms": took_ms,
    }


def _text(name: str, done: "RoundAudit", took_ms: int) -> str:
    found = done.found
    right = sum(row.finding.name == "RIGHT" for row in found.rows)
    lines = [
        ("round", name),
        ("decided by", f"{done.round.agreed} of {done.round.voters} members"),
        ("updates", f"{len(found.rows)}, {right} right"),
        ("gain", f"{found.gain} micronats"),
        ("weights", found.weights.hex()),
        ("took", f"{took_ms} ms"),
        ("result", "another one than the decided one" if done.differences else "the decided one, to the byte"),
    ]
    return "\n".join([pairs(lines), *(f"  {each}" for each in done.differences)])
