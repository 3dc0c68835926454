"""`trace`: what a ledger shows of a subject, back to what it was made from."""

import json
from pathlib import Path

import click

from p2pverify.cli.data.data import json_option
from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.output import wide_option
from p2pverify.cli.params import InputFile, read_id
from p2pverify.cli.table import table, terminal_width
from p2pverify.node.data.documents import TraceDocument, TraceNode

_STATEMENT = InputFile("'p2pverify statement sign' writes such files")
_ID_CHARS = 12


@click.command()
@click.argument("subject")
@click.option("--ledger", type=InputFile(), metavar="FILE", help="An export, instead of the records of this home.")
@click.option("--open", "opened", multiple=True, type=_STATEMENT, metavar="FILE", help="A statement to check and show.")
@wide_option
@json_option
def trace(subject: str, ledger: Path | None, opened: tuple[Path, ...], wide: bool, as_json: bool) -> None:
    """Show all statements and data sets of SUBJECT, and what they were made from.

    SUBJECT is the file of a statement, or 64 hexadecimal digits: a subject's commitment, the id of a record, or the
    root of a data set. All records are verified first. EPOCH is that of the first certified cut that holds the record,
    whatever its author claims; '-' means that no certified cut holds it.

    Exit 5 if the ledger does not verify, or if a signature or an opened statement does not hold.
    """
    from p2pverify.cli.show.held import recompute
    from p2pverify.node.data.statements import load_statement
    from p2pverify.node.data.trace import Tracer

    files = [load_statement(path) for path in opened]
    name = read_id(subject)
    if name is None:
        path = _STATEMENT.convert(subject, None, None)
        files.insert(0, load_statement(path))
        name = files[0].statement.subject
    held = recompute(ledger, None).with_all()
    found = Tracer(held.fold, held.cut).trace(name, files)
    if as_json:
        from p2pverify.node.reports.documents.jsonform import written

        click.echo(json.dumps(written(found)))
    else:
        click.echo(_text(found, wide=wide))
    if found.faults:
        raise NotVerifiedError(found.faults[0], "ask its author for the right file, or a peer for a newer export")


def _text(found: TraceDocument, *, wide: bool) -> str:
    lines = [f"subject {found.subject}, by the cut {found.cut[:_ID_CHARS]} of epoch {found.epoch}"]
    if not found.nodes:
        return "\n".join([*lines, "the ledger knows nothing of it"])
    from p2pverify.node.reports.shown import short_ids

    peers = {peer for node in found.nodes for peer in (node.author, node.signed_with) if peer is not None}
    names = {peer: peer for peer in peers} if wide else short_ids(peers)
    rows, notes = [], []
    for node in found.nodes:
        by = "-" if node.author is None else names[node.author]
        other = "" if node.signed_with is None else names[node.signed_with]
        rows.append((_branch(node, wide=wide), by, other, node.epoch, node.what))
        notes.append(_note(node))
    head = ("RECORD", "BY", "WITH", "EPOCH", "WHAT")
    lines.append(table(head, rows, width=None if wide else terminal_width(), cut=("WHAT",), notes=notes))
    if not found.complete:
        lines.append("there is more: trace one of the records above")
    return "\n".join(lines)


def _branch(node: TraceNode, *, wide: bool) -> str:
    """The id of a record behind a line that is as long as its depth."""
    name = node.id if wide else node.id[:_ID_CHARS]
    return f"└{'─' * node.depth} {name}" if node.depth else name


def _note(node: TraceNode) -> str:
    parts = [] if node.opened is None else [f"about {node.opened}"]
    parts += [
        f"erased: {each.rows_left} rows left from epoch {'-' if each.epoch is None else each.epoch} on ({each.why})"
        for each in node.erasures
    ]
    if node.kind == "unknown":
        parts.append("this ledger has no such record")
    if node.again and node.parents:
        parts.append("its parents stand above")
    return "; ".join(parts)
