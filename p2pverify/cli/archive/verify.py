"""`p2pverify ledger verify` of a segment, or of an archive from a cut on: what follows from a cut that is assumed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.archive.audit import assumption
from p2pverify.cli.archive.segments import SegmentFinding, audit_file, segment_files
from p2pverify.cli.progress import Progress

if TYPE_CHECKING:
    from p2pverify.core.replica.fold import Fold


@dataclass(frozen=True, slots=True)
class Rested:
    """A view that follows from a cut. `assumed` describes that cut, or is None if it is the network itself.

    `distrust` says why the cut must not be assumed, or is None.
    """

    fold: "Fold"
    cut: bytes
    assumed: dict[str, object] | None
    distrust: str | None


def recompute_segments(file: Path, first: bytes | None, trusted: bytes | None, wanted: bytes | None) -> Rested:
    """Audit the segments of a file or an index from the one on that begins with the cut `first`.

    `trusted` is the cut that the user assumes, `wanted` the network that they must be of. Raises NotVerifiedError,
    UnusableError.
    """
    from p2pverify.cli.errors import NotVerifiedError

    found: SegmentFinding | None = None
    begin: SegmentFinding | None = None
    with Progress() as progress:
        for each in _from(segment_files([file]), first):
            found = audit_file(each, found, wanted, progress, f"auditing {each.name}")
            begin = begin or found
            if found.fault is not None:
                raise NotVerifiedError(f"{each} does not hold: {found.fault}", "take it from another archive")
    if begin is None or found is None or found.audited is None:
        name = "segment" if first is None else f"segment that begins with cut {first.hex()}"
        raise click.UsageError(f"{file} has no {name}")
    assumed, last = assumption(begin), found.audited
    return Rested(last.fold, last.header.last, assumed, _distrust(assumed, trusted))


def _from(files: list[Path], first: bytes | None) -> list[Path]:
    """The files from the one on that begins with a cut. Raises UnusableError for a file that is no segment."""
    from p2pverify.store.archive.segmentfile import read_segment
    from p2pverify.store.errors import ExportError, NotAnExportError

    if first is None:
        return files
    for place, file in enumerate(files):
        try:
            with file.open("rb") as source:
                if read_segment(source).header.first == first:
                    return files[place:]
        except (OSError, ExportError, NotAnExportError):
            continue  # the audit says what is wrong with it, if it is asked for
    return []


def _distrust(assumed: dict[str, object] | None, trusted: bytes | None) -> str | None:
    if assumed is None:
        return None
    if trusted is None:
        return "it rests on a cut that nothing here proves"
    return None if trusted.hex() == assumed["cut"] else "it does not rest on the cut that --assume names"
