"""`p2pverify ledger export` writes the records as one file, and `ledger verify` recomputes the view from it."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from p2pverify.cli.output import force_option, may_replace, wide_option
from p2pverify.cli.params import InputFile
from p2pverify.cli.show.checkup import AFTER_DAMAGE, check
from p2pverify.cli.table import cell, columns_help, pairs
from p2pverify.node.files.outputs import STDOUT, check_output, is_stdout, open_output

if TYPE_CHECKING:
    from p2pverify.core.replica.verify import Verified
    from p2pverify.node.reports.documents.scores import ScoreDocument
    from p2pverify.store.errors import NotAnExportError
    from p2pverify.store.snapshot import Snapshot

SCHEMA = "p2pverify/ledger-verification/1"
_NAMED_MAX = 20
_FOUNDERS_SHOWN = 8
#: Keys of an API's row that a verification does not have.
_LEFT_OUT = frozenset(
    ("reason", "slots_owed", "cusum", "threshold", "fork_until_epoch", "sponsors", "rests", "hardware")
)
_HOLDS = "every signature, link, proof, opening and certificate holds"
_COLUMNS = ("PEER", "STANDING", "WEIGHT", "SCORE", "AUDITS", "BY", "DISSENTS", "LAST")


@click.group()
def ledger() -> None:
    """Export the records, or recompute a view from an export, offline."""


ledger.add_command(check)


@ledger.command("export")
@click.argument("file", metavar="FILE")
@click.option("--cut", "cut_text", metavar="ID", help="Export up to this certified cut (default: the newest).")
@force_option
def export(file: str, cut_text: str | None, force: bool) -> None:
    """Write this node's records to FILE; '-' is standard output.

    The command reads the database and writes nothing to the home. So the node may run or not, and the home may be a
    read-only copy. Damaged records are named and left out; the exit code is then 5.
    """
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.store.exportfile import write_export
    from p2pverify.store.snapshot import take_snapshot

    home = current_home()
    if not home.database_path.exists():
        raise CliError(f"no database in {home.path}", "choose the node's home with --home DIR")
    try:
        cut = None if cut_text is None else bytes.fromhex(cut_text)
    except ValueError:
        raise click.UsageError("--cut takes the hexadecimal id of a cut, as 'p2pverify status' shows it") from None
    check_output(file, may_replace(force=force), is_binary=True)
    network, _ = load_network(home.network_path)
    found = take_snapshot(home.database_path, network, cut)
    to_stderr = is_stdout(file)
    with open_output(file, may_replace(force=force), mode=0o666, is_binary=True) as output:
        summary = write_export(output, found.header, found.records)
    place = "standard output" if file == STDOUT else file
    click.echo(f"{summary.records} records, {summary.size} bytes -> {place}", err=to_stderr)
    if not to_stderr:
        click.echo(f"check it with: p2pverify ledger verify {file}")
    if found.damaged:
        _tell_damage(found)


def _tell_damage(found: "Snapshot") -> None:
    """Name the records that are not in the export. Raises NotVerifiedError."""
    from p2pverify.cli.errors import NotVerifiedError, report
    from p2pverify.store.integrity.inspection import name_damage

    count = len(found.damaged)
    for each in found.damaged[:_NAMED_MAX]:
        report(f"{name_damage(each, found.own)}; it is not in the export, nor what follows it")
    raise NotVerifiedError(
        f"{count} stored record{'s are' if count > 1 else ' is'} damaged: the export holds what is left",
        AFTER_DAMAGE,
    )


@ledger.command("verify", epilog=columns_help(*_COLUMNS))
@click.argument("file", type=InputFile("write one with 'p2pverify ledger export FILE'", allow_stdin=True))
@click.option("--network", "pin", metavar="FILE|ID", help="The network that the export must be of.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify_file(file: Path, pin: str | None, wide: bool, as_json: bool) -> None:
    """Recompute the whole view from FILE, without key or model; '-' is standard input.

    Without --network, the network is the one that FILE names. Check it, because anyone can make and export a network.
    Exit 5 if a check fails or the network is another one, 2 if FILE is no export.
    """
    from p2pverify.core.replica.verify import VerificationFailed, verify
    from p2pverify.store.errors import ExportError, NotAnExportError
    from p2pverify.store.exportfile import read_export

    wanted = None if pin is None else _network_id(pin)
    try:
        with _opened(file) as source:
            header, records = read_export(source)
            if wanted is not None and header.network_id != wanted:
                reason = f"it is of network {header.network_id.hex()}, not of {wanted.hex()}"
                _fail({"reason": reason, "record": None, "offset": None, "id": None}, as_json)
            # The file is known to be whole only at its end, so nothing is judged before that.
            held = list(records)
        verified = verify(header.network_id, header.network_definition, header.cut, held)
    except NotAnExportError as error:
        _refuse(file, error, as_json)
    except ExportError as error:
        _fail({"reason": error.reason, "record": error.record, "offset": error.offset, "id": None}, as_json)
    except VerificationFailed as failed:
        name = None if failed.record is None else failed.record.hex()
        _fail({"reason": failed.reason, "record": failed.number, "offset": None, "id": name}, as_json)
    else:
        from p2pverify.node.reports.scores import score_document

        rows = [score_document(score) for score in verified.scores]
        document = _document(verified, rows, is_pinned=wanted is not None)
        click.echo(json.dumps(document) if as_json else _text(document, rows, wide=wide))


@contextmanager
def _opened(file: Path) -> "Iterator[BinaryIO]":
    """The file, or standard input. Raises UsageError."""
    if str(file) == STDOUT:
        if sys.stdin is None:
            raise click.UsageError("standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source


def _network_id(pin: str) -> bytes:
    """The network id in a file, or a network id given as 64 hexadecimal digits. Raises UsageError."""
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.textfile import FileError

    if re.fullmatch("[0-9a-fA-F]{64}", pin):
        return bytes.fromhex(pin)
    try:
        return load_network(Path(pin))[0].id
    except FileError as error:
        raise click.BadParameter(
            f"{error.reason}; give a network file, or an id of 64 hexadecimal digits", param_hint="--network"
        ) from None


def _refuse(file: Path, error: "NotAnExportError", as_json: bool) -> None:
    """Report the kind of a file that is no export: nothing was verified."""
    from p2pverify.cli.output import UnusableError

    name = "standard input" if str(file) == STDOUT else str(file)
    reason = f"{name} is {error.kind}, not a ledger export"
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "valid": False, "reason": reason}))
    raise UnusableError(reason, error.hint)


def _fail(offence: dict[str, object], as_json: bool) -> None:
    """Report the failed check: the record's number in the file (from 1), the byte offset, the record's id."""
    from p2pverify.cli.errors import NotVerifiedError

    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "valid": False, **offence}))
    names = {"record": "record no. {}", "offset": "byte {}", "id": "id {}"}
    places = [text.format(offence[key]) for key, text in names.items() if offence[key] is not None]
    where = f" ({', '.join(places)})" if places else ""
    raise NotVerifiedError(f"the export does not hold: {offence['reason']}{where}", "ask another peer for an export")


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
    hidden = len(document["founders"]) - len(founders)
    held = f"{document['records']} in the cut, {document['records_after']} after it"
    rows: list[tuple[str, object]] = [
        ("network", document["network_name"]),
        ("network id", document["network"]),
        *(("founder" if place == 0 else "", founder) for place, founder in enumerate(founders)),
        *([("", f"and {hidden} more; --wide shows all")] if hidden else []),
        ("cut", document["cut"]),
        ("epoch", f"{document['epoch']}, which began {cell(document['epoch_began'])}, {_age(document['age_s'])}"),
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


def _age(seconds: int) -> str:
    """The time since then, in the largest unit that fits."""
    if seconds < 0:
        return f"{-seconds} s ahead of this machine's clock"
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} seconds ago"
