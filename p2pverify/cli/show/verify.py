"""`p2pverify ledger verify` recomputes a view from its records, and with --rerun the decisions in it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.archive.audit import assumption_text
from p2pverify.cli.archive.segments import is_archive
from p2pverify.cli.archive.verify import Rested, recompute_segments
from p2pverify.cli.output import force_option, wide_option
from p2pverify.cli.params import WEIGHTS, CutId, InputFile
from p2pverify.cli.show.held import SCHEMA, Held, recompute
from p2pverify.cli.show.proofcheck import check_proof
from p2pverify.cli.show.rerun import Pinned, RerunCount, RerunOptions, read_pin, rerun_text, run_again, values_of
from p2pverify.cli.table import age_text, cell, columns_help, pairs
from p2pverify.node.engines.kinds import JUDGING_KINDS, EngineKind

if TYPE_CHECKING:
    from p2pverify.core.replica.verify import Verified
    from p2pverify.node.reports.documents.scores import ScoreDocument

_FOUNDERS_SHOWN = 8
#: Keys of an API's row that a verification does not have.
_LEFT_OUT = frozenset(
    (
        *("reason", "slots_owed", "cusum", "threshold", "long_cusum", "long_threshold"),
        *("judged", "capital", "capital_threshold"),
        *("fork_until_epoch", "sponsors", "rests", "hardware"),
    )
)
_HOLDS = "every signature, link, proof, opening and certificate holds"
_COLUMNS = ("PEER", "STANDING", "WEIGHT", "SCORE", "AUDITS", "BY", "DISSENTS", "LAST")


@click.command("verify", epilog=columns_help(*_COLUMNS))
@click.argument(
    "file", required=False, type=InputFile("write one with 'p2pverify ledger export FILE'", allow_stdin=True)
)
@click.option("--network", "pin", metavar="FILE|ID", help="The network that the records must be of.")
@click.option("--from", "first", metavar="CUT", type=CutId(), help="With an archive: begin with this cut.")
@click.option("--assume", "trusted", metavar="CUT", type=CutId(), help="With an archive: the cut that you trust.")
@click.option("--rerun", "count", type=RerunCount(), metavar="N|all", help="Compute N drawn decisions again, or all.")
@click.option("--class", "class_name", metavar="NAME", help="With --rerun: only decisions about this class.")
@click.option("--proof-out", metavar="FILE", help="Where --rerun writes the proof of wrong decisions.")
@click.option("--proof", type=InputFile("--rerun writes such a file"), metavar="FILE", help="Check a proof file.")
@click.option("--engine", type=click.Choice(JUDGING_KINDS), help="What runs the model (default: as the network says).")
@click.option("--variant", default="", metavar="NAME", help="Another numeric path: see config.toml.")
@click.option("--weights", type=WEIGHTS, help="Weights instead of the bundled model.")
@force_option
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    file: Path | None,
    pin: str | None,
    first: bytes | None,
    trusted: bytes | None,
    count: str | int | None,
    class_name: str | None,
    proof_out: str | None,
    proof: Path | None,
    engine: EngineKind | None,
    variant: str,
    weights: Path | None,
    force: bool,
    wide: bool,
    as_json: bool,
) -> None:
    """Recompute the whole view from FILE, without key or model; '-' is standard input.

    Without FILE, the records are those of this node's home. Without --network, the network is the one that FILE names.
    Check it, because anyone can make and export a network. Exit 5 if a check fails or the network is another one, 2 if
    FILE is no export.

    FILE can be a segment of an archive, or the archive's index.json. Then all after its first cut is proven, or after
    the cut of --from. Exit 5 unless --assume names this cut, or the history begins with the network itself.

    With --rerun, this machine answers the golden questions, and then computes decided disputes and undisputed audits
    again. It needs the model, and the network file: by --network, or in the home. Exit 5 if a decision is wrong; its
    proof is then in FILE.proof, or where --proof-out says.

    With --proof, such a proof is run again: exit 0 if it is confirmed, 5 if it is refuted, 1 if this machine cannot
    judge it, 2 if it is no proof file. With FILE too, the ledger must hold the decisions.
    """
    options = RerunOptions(count, class_name, proof_out, proof, engine, variant, weights, force)
    options.check(file)
    pinned = read_pin(pin)
    if file is not None and is_archive(file):
        if count is not None or proof is not None:
            raise click.UsageError("--rerun and --proof need all records: give an export")
        _verify_archive(recompute_segments(file, first, trusted, pinned.network_id), pinned, wide=wide, as_json=as_json)
        return
    if first is not None or trusted is not None:
        raise click.UsageError("--from and --assume need a segment of an archive, or its index.json")
    held = None if file is None and proof is not None else recompute(file, pinned.network_id, as_json=as_json)
    if proof is not None:
        check_proof(proof, options, pinned, held, as_json=as_json)
        return
    assert held is not None
    found, rows = _recomputed(held)
    document = _document(found, rows, is_pinned=pinned.network_id is not None)
    if not held.fold.ledger.is_whole:
        click.echo("assumed: the state from which this home starts, as earlier records were deleted", err=True)
    ran = None if count is None else run_again(options, pinned, held.with_all())
    if as_json:
        click.echo(json.dumps(document if ran is None else {**document, "rerun": values_of(ran.document)}))
    else:
        click.echo(_text(document, rows, wide=wide))
        if ran is not None:
            click.echo("\n" + rerun_text(ran.document))
    if ran is not None:
        ran.conclude(options, file)


def _verify_archive(rested: Rested, pinned: Pinned, *, wide: bool, as_json: bool) -> None:
    """Print the view that follows from a cut, and on what it rests. Raises NotVerifiedError."""
    from p2pverify.cli.errors import NotVerifiedError

    found, rows = _recomputed(Held(rested.fold, rested.cut, None))
    document = _document(found, rows, is_pinned=pinned.network_id is not None)
    document |= {"valid": rested.distrust is None, "assumed": rested.assumed}
    if as_json:
        click.echo(json.dumps(document))
    else:
        click.echo(_text(document, rows, wide=wide) + "\n" + assumption_text(rested.assumed))
    if rested.distrust is not None:
        assert rested.assumed is not None
        raise NotVerifiedError(rested.distrust, f"if you trust this cut, say --assume {rested.assumed['cut']}")


def _recomputed(held: Held) -> "tuple[Verified, list[ScoreDocument]]":
    from p2pverify.core.replica.verify import recomputed
    from p2pverify.node.reports.scores import score_document

    found = recomputed(held.fold, held.cut)
    return found, [score_document(score) for score in found.scores]


def _document(verified: "Verified", rows: "Sequence[ScoreDocument]", *, is_pinned: bool) -> dict[str, object]:
    from p2pverify.core.encoding.peerid import peer_id
    from p2pverify.node.clock import unix_ms
    from p2pverify.node.reports.documents.jsonform import written

    network = verified.network
    made_ms = network.params.epoch_start_ms(verified.cut.epoch)
    return {
        "schema": SCHEMA,
        "valid": True,
        "network": network.id.hex(),
        "network_name": network.name,
        "network_is_pinned": is_pinned,
        "founders": [peer_id(founder) for founder in network.founders],
        "origin": None if network.origin is None else {key: id_.hex() for key, id_ in asdict(network.origin).items()},
        "cut": verified.cut_id.hex(),
        "epoch": verified.cut.epoch,
        "epoch_began": _date(made_ms),
        "age_s": (unix_ms() - made_ms) // 1000,
        "newest_epoch": verified.newest_epoch,
        "ledger_root": verified.cut.ledger_root.hex(),
        "view_root": verified.cut.view_root.hex(),
        "records": verified.records,
        "records_after": verified.records_after,
        "cuts": verified.cuts,
        "signers": verified.signers,
        "totals": dict(verified.totals),
        "scores": [{key: value for key, value in written(row).items() if key not in _LEFT_OUT} for row in rows],
    }


def _text(document: dict[str, Any], scores: "Sequence[ScoreDocument]", *, wide: bool) -> str:
    from p2pverify.cli.show.scoretable import score_table

    founders = document["founders"] if wide else document["founders"][:_FOUNDERS_SHOWN]
    hidden, origin = len(document["founders"]) - len(founders), document["origin"]
    held = f"{document['records']} in the cut, {document['records_after']} after it"
    rows: list[tuple[str, object]] = [
        ("network", document["network_name"]),
        ("network id", document["network"]),
        *(("founder" if place == 0 else "", founder) for place, founder in enumerate(founders)),
        *([("", f"and {hidden} more; --wide shows all")] if hidden else []),
        *(() if origin is None else (("goes on from", f"cut {origin['cut']} of network {origin['network']}"),)),
        ("cut", document["cut"]),
        ("epoch", f"{document['epoch']}, which began {cell(document['epoch_began'])}, {age_text(document['age_s'])}"),
        ("certificate", f"{document['signers']} signatures; {document['cuts']} certified cuts on the path"),
        ("records", held),
        ("ledger root", document["ledger_root"]),
        ("view root", document["view_root"]),
    ]
    lines = [pairs(rows), "", score_table(scores, None, wide=wide), "", _HOLDS]
    if document["newest_epoch"] > document["epoch"]:
        lines.append(f"this is an older view: the file has a certified cut of epoch {document['newest_epoch']}")
    if document["network_is_pinned"]:
        lines.append("the network is the one that --network names")
    else:
        lines.append("the network is the file's own claim: check it with --network FILE|ID")
    return "\n".join(lines)


def _date(unix_ms: int) -> str | None:
    """A Unix time in ms as ISO 8601, or None if its year does not have four digits."""
    try:
        return datetime.fromtimestamp(unix_ms // 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
