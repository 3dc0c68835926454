"""`train audit`: a decided round is run again on this machine, from blobs of this home."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.params import WEIGHTS, InputFile
from p2pverify.cli.table import pairs

if TYPE_CHECKING:
    from p2pverify.cli.show.held import Held
    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.replica.fold import Fold
    from p2pverify.core.training.orders import EvaluateOrder
    from p2pverify.node.training.audit import RoundAudit
    from p2pverify.node.training.ports import Trainer
    from p2pverify.node.training.versions import RoundBase

SCHEMA = "p2pverify/round-audit/1"


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
    from p2pverify.engine.cheats.rounds import open_trainer
    from p2pverify.node.training.audit import audit_round, find_round

    line_name, number = read_round(name)
    held = recompute(ledger, None, as_json=as_json).with_all()
    lines = {line.name: index for index, line in enumerate(held.fold.network.lines) if line.training is not None}
    if line_name not in lines:
        raise CliError(f"no line {line_name} is trained in rounds; known: {', '.join(lines) or 'none'}")
    found = find_round(held.fold, held.cut, RoundPlace(lines[line_name], number))
    began = time.perf_counter()
    trainer = open_trainer(None, found.order.rule, lambda digest: _file(digest, weights))
    base = _base(held, found.order, trainer, weights)
    done = audit_round(found, trainer, base, _read)
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


def _kept(digest: bytes) -> Path | None:
    """A blob of this home: of rounds, or of a version. Its bytes are not checked here."""
    home = current_home()
    folders = (home.path / "rounds", home.blobs_path)
    paths = (folder / digest.hex()[:2] / digest.hex() for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _read(digest: bytes) -> bytes | None:
    """A blob of this home with this SHA-256 (32 B)."""
    from p2pverify.core.encoding.canon import sha256

    path = _kept(digest)
    data = b"" if path is None else path.read_bytes()
    return data if data and sha256(data) == digest else None


def _file(digest: bytes, weights: Path | None) -> Path | None:
    """The file of version 0. Who reads it checks its digest."""
    from p2pverify.engine.onhand import find_file
    from p2pverify.node.files.config import load_config

    config = load_config(current_home().config_path)
    named = (path for path in (weights, _kept(digest), config.weights) if path is not None and path.is_file())
    return next(named, None) or find_file(digest, config.engine)


def _base(held: "Held", order: "EvaluateOrder", trainer: "Trainer", weights: Path | None) -> "RoundBase":
    """The weights and the manifest from which a round started. Raises RoundAuditError."""
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.training.audit import RoundAuditError, result_of
    from p2pverify.node.training.versions import RoundBase

    kept = _read(order.base)
    _, listed = load_network(current_home().network_path)
    found = decode_manifest(kept) if kept else _listed(listed, held.fold, order.base)
    if found is None:
        raise RoundAuditError(
            "this home does not have the manifest of the version from which the round started",
            "run the command in the home of a node that takes part in the line",
        )
    made = result_of(held.fold, held.cut, order.line, order.base)
    path = _file(found.weights, weights)
    first = None if path is None or made is not None else trainer.first(path, found.weights)
    data = first if made is None else _read(made.weights)
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
