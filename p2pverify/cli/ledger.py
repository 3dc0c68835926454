"""`p2pverify ledger export` and `ledger verify`: the records as one file, and the view recomputed from it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.checkup import AFTER_DAMAGE, check
from p2pverify.cli.params import InputFile

if TYPE_CHECKING:
    from p2pverify.core.verify import Verified

SCHEMA = "p2pverify/ledger-verification/1"
_NAMED_MAX = 20


@click.group()
def ledger() -> None:
    """Export the records, or recompute a view from an export, offline."""


ledger.add_command(check)


@ledger.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--cut", "cut_text", metavar="ID", help="Export up to this certified cut (default: the newest).")
def export(file: Path, cut_text: str | None) -> None:
    """Write this node's records to FILE. Reads the database; the node may run or not.

    Stored records that are damaged are named and left out; then it ends with exit code 5.
    """
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError, NotVerifiedError, report
    from p2pverify.cli.init import own_key
    from p2pverify.node.networkfile import load_network
    from p2pverify.store.errors import ExportError, StoreError
    from p2pverify.store.inspection import name_damage
    from p2pverify.store.snapshot import export_database

    home = current_home()
    if not home.database_path.exists():
        raise CliError(f"no database in {home.path}", "choose the node's home with --home DIR")
    try:
        cut = None if cut_text is None else bytes.fromhex(cut_text)
    except ValueError:
        raise click.UsageError("--cut takes the hexadecimal id of a cut, as 'p2pverify status' shows it") from None
    network, _ = load_network(home.network_path)
    own = own_key(home)
    try:
        summary, damaged = export_database(home.database_path, network, own, file, cut)
    except StoreError as error:
        raise CliError(error.reason, error.hint) from None
    except ExportError as error:
        raise CliError(error.reason, "choose another place for the file") from None
    click.echo(f"{summary.records} records, {summary.size} bytes -> {file}")
    click.echo(f"check it with: p2pverify ledger verify {file}")
    if damaged:
        count = len(damaged)
        for each in damaged[:_NAMED_MAX]:
            report(f"{name_damage(each, own)}; it is not in the export, nor what follows it")
        raise NotVerifiedError(
            f"{count} stored record{'s are' if count > 1 else ' is'} damaged: the export holds what is left",
            AFTER_DAMAGE,
        )


@ledger.command("verify")
@click.argument("file", type=InputFile("write one with 'p2pverify ledger export FILE'"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify_file(file: Path, as_json: bool) -> None:
    """Recompute the whole view from FILE, without network, key or model. Exit 5 if anything does not hold."""
    from p2pverify.core.verify import VerificationFailed, verify
    from p2pverify.store.errors import ExportError
    from p2pverify.store.exportfile import read_export

    try:
        header, records = read_export(file)
        # The file is known to be whole only at its end, so nothing is judged before.
        verified = verify(header.network_id, header.network_definition, header.cut, list(records))
    except ExportError as error:
        _fail({"reason": error.reason, "record": error.record, "offset": error.offset, "id": None}, as_json)
    except VerificationFailed as failed:
        name = None if failed.record is None else failed.record.hex()
        _fail({"reason": failed.reason, "record": failed.number, "offset": None, "id": name}, as_json)
    else:
        click.echo(json.dumps(_document(verified)) if as_json else _text(verified))


def _fail(offence: dict[str, object], as_json: bool) -> None:
    """Say what does not hold: the record's number in the file (from 1), the byte offset, the record's id."""
    from p2pverify.cli.errors import NotVerifiedError

    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "valid": False, **offence}))
    names = {"record": "record no. {}", "offset": "byte {}", "id": "id {}"}
    places = [text.format(offence[key]) for key, text in names.items() if offence[key] is not None]
    where = f" ({', '.join(places)})" if places else ""
    raise NotVerifiedError(f"the export does not hold: {offence['reason']}{where}", "ask another peer for an export")


def _document(verified: "Verified") -> dict[str, object]:
    from p2pverify.core.peerid import peer_id

    return {
        "schema": SCHEMA,
        "valid": True,
        "network": verified.network.id.hex(),
        "network_name": verified.network.name,
        "cut": verified.cut_id.hex(),
        "epoch": verified.cut.epoch,
        "ledger_root": verified.cut.ledger_root.hex(),
        "view_root": verified.cut.view_root.hex(),
        "records": verified.records,
        "records_after": verified.records_after,
        "cuts": verified.cuts,
        "signers": verified.signers,
        "totals": dict(verified.totals),
        "scores": [
            {
                "peer_id": peer_id(score.peer),
                "standing": str(score.standing),
                "low": score.low_ppm / 1_000_000,
                "high": score.high_ppm / 1_000_000,
                "audits": score.audits,
                "agreements": score.agreements,
                "dissents": score.dissents,
                "challengers": score.challengers,
                "convicted_epoch": score.convicted_epoch,
                "convicted_after_audits": score.convicted_after,
                "conviction": score.conviction,
            }
            for score in verified.scores
        ],
    }


def _text(verified: "Verified") -> str:
    from p2pverify.core.peerid import peer_id

    lines = [
        f"network      {verified.network.id.hex()} ({verified.network.name})",
        f"cut          {verified.cut_id.hex()} of epoch {verified.cut.epoch}",
        f"certificate  {verified.signers} signatures; {verified.cuts} certified cuts on the path",
        f"records      {verified.records} in the cut, {verified.records_after} after it",
        f"ledger root  {verified.cut.ledger_root.hex()}",
        f"view root    {verified.cut.view_root.hex()}",
        "",
        f"{'PEER':<53} {'STANDING':<10} {'SCORE':>15} {'AUDITS':>7} {'BY':>4} {'LOST':>5}",
    ]
    for s in verified.scores:
        interval = f"{s.low_ppm / 10_000:.1f}-{s.high_ppm / 10_000:.1f} %"
        lines.append(
            f"{peer_id(s.peer):<53} {s.standing:<10} {interval:>15} {s.audits:>7} {s.challengers:>4} {s.dissents:>5}"
        )
    return "\n".join([*lines, "", "every signature, link, proof, opening and certificate holds"])
