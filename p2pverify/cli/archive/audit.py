"""`p2pverify ledger audit`: whether each segment of an archive follows from its beginning, and whether they join."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from p2pverify.cli.archive.segments import SegmentFinding, audit_file, segment_files
from p2pverify.cli.output import wide_option
from p2pverify.cli.params import InputPath
from p2pverify.cli.progress import Progress
from p2pverify.cli.show.rerun import read_pin
from p2pverify.cli.table import table, terminal_width

AUDIT_SCHEMA = "p2pverify/archive-audit/1"
_ID_CHARS = 8


@click.command("audit")
@click.argument(
    "segments",
    metavar="SEGMENT...",
    nargs=-1,
    required=True,
    type=InputPath("'p2pverify ledger export --dir DIR' writes segments"),
)
@click.option("--network", "pin", metavar="FILE|ID", help="The network that the segments must be of.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def audit(segments: tuple[Path, ...], pin: str | None, wide: bool, as_json: bool) -> None:
    """Audit segments of an archive, without key or model. A folder or its index stands for all segments in it.

    Of each segment, the state at its last cut is computed from the state at its first cut and its records. Each must
    continue the one before it. So one segment proves its epochs, and all of them the whole history. Exit 5 if one is
    false, 2 if a file is no segment.
    """
    from p2pverify.cli.errors import NotVerifiedError

    wanted = read_pin(pin).network_id
    found: list[SegmentFinding] = []
    files = segment_files(segments)
    with Progress() as progress:
        for number, file in enumerate(files, 1):
            stage = f"auditing segment {number} of {len(files)}"
            found.append(audit_file(file, found[-1] if found else None, wanted, progress, stage))
    click.echo(json.dumps(_document(found)) if as_json else _text(found, wide=wide))
    false = [each for each in found if each.fault is not None]
    if false or not found:
        reason = f"{false[0].file}: {false[0].fault}" if false else "there is no segment to audit"
        raise NotVerifiedError(
            reason if len(false) < 2 else f"{len(false)} segments are false; the first is {reason}",
            "take the segment from another archive",
        )


def assumption(found: SegmentFinding) -> dict[str, object] | None:
    """What a segment that holds assumes, for JSON; None if it begins with the network itself."""
    one = found.audited
    if one is None or one.header.is_first:
        return None
    return {"cut": one.header.first.hex(), "epoch": one.first_epoch, "state_root": one.header.first_root.hex()}


def assumption_text(assumed: dict[str, object] | None) -> str:
    """The same in one line."""
    if assumed is None:
        return "assumed: nothing, because the history begins with the network itself"
    return "assumed: cut {cut} of epoch {epoch}, state root {state_root}".format(**assumed)


def _document(found: Sequence[SegmentFinding]) -> dict[str, object]:
    network = next((each.header.network_id.hex() for each in found if each.header is not None), None)
    return {
        "schema": AUDIT_SCHEMA,
        "valid": bool(found) and all(each.fault is None for each in found),
        "network": network,
        "assumed": assumption(found[0]) if found else None,
        "segments": [_segment(each) for each in found],
    }


def _segment(found: SegmentFinding) -> dict[str, object]:
    header, one, fault = found.header, found.audited, found.fault
    return {
        "file": str(found.file),
        "valid": fault is None,
        "first": None if header is None else header.first.hex(),
        "first_epoch": None if one is None else one.first_epoch,
        "last": None if header is None else header.last.hex(),
        "last_epoch": None if one is None else one.last_epoch,
        "cuts": None if one is None else one.cuts,
        "records": None if one is None else one.records,
        "sha256": None if found.sha256 is None else found.sha256.hex(),
        "reason": None if fault is None else fault.reason,
        "record": None if fault is None else fault.record,
        "offset": None if fault is None else fault.offset,
        "id": None if fault is None or fault.id is None else fault.id.hex(),
    }


def _text(found: Sequence[SegmentFinding], *, wide: bool) -> str:
    rows, notes = [], []
    for each in found:
        one, header = each.audited, each.header
        epochs = None if one is None else f"{one.first_epoch}-{one.last_epoch}"
        first, last = (None, None) if header is None else (header.first.hex(), header.last.hex())
        ids = [None if text is None else text if wide else text[:_ID_CHARS] for text in (first, last)]
        counts = (None, None) if one is None else (one.cuts, one.records)
        rows.append((each.file.stem, epochs, *counts, *ids, "holds" if each.fault is None else "false"))
        notes.append("" if each.fault is None else str(each.fault))
    headers = ("SEGMENT", "EPOCHS", "CUTS", "RECORDS", "FROM", "TO", "RESULT")
    width = None if wide else terminal_width()
    lines = [table(headers, rows, width=width, cut=("SEGMENT", "FROM", "TO"), notes=notes)]
    if found and all(each.fault is None for each in found):
        assert found[-1].audited is not None
        last_epoch = found[-1].audited.last_epoch
        lines += ["", f"proven: the history up to epoch {last_epoch} follows", assumption_text(assumption(found[0]))]
    return "\n".join(lines)
