"""The segments that a command is given, and their audit one by one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from p2pverify.cli.progress import Progress

if TYPE_CHECKING:
    from p2pverify.core.proofs.auditing import AuditedSegment
    from p2pverify.core.proofs.segment import SegmentHeader

#: How often the progress is told, in records.
_TELL_EVERY = 256


@dataclass(frozen=True, slots=True)
class SegmentFault:
    """Why a segment is false: the record's number in the file (from 1), the byte offset, and an id, if known."""

    reason: str
    record: int | None = None
    offset: int | None = None
    id: bytes | None = None

    def __str__(self) -> str:
        names = (("record no. {}", self.record), ("byte {}", self.offset), ("id {}", self.id and self.id.hex()))
        places = [text.format(value) for text, value in names if value is not None]
        return f"{self.reason} ({', '.join(places)})" if places else self.reason


@dataclass(frozen=True, slots=True)
class SegmentFinding:
    """What came of one file. `sha256` is the digest in its trailer; `header` and digest are None if it was not read."""

    file: Path
    header: "SegmentHeader | None"
    audited: "AuditedSegment | None"
    sha256: bytes | None
    fault: SegmentFault | None


def is_archive(file: Path) -> bool:
    """Whether a file begins like a segment, or is the index of an archive. Only regular files are looked at."""
    from p2pverify.store.archive.segmentfile import SEGMENT_MAGIC

    if not file.is_file():
        return False
    with file.open("rb") as source:
        return _is_index(file) or source.read(len(SEGMENT_MAGIC)) == SEGMENT_MAGIC


def segment_files(paths: Iterable[Path]) -> list[Path]:
    """The files of segments, in order. A folder or an index stands for its segments. Raises FileError."""
    from p2pverify.store.archive.index import INDEX_NAME, read_index

    found: list[Path] = []
    for path in paths:
        index = path / INDEX_NAME if path.is_dir() else path
        if _is_index(index):
            found += [index.parent / each.file for each in read_index(index).segments]
        else:
            found.append(path)
    return found


def audit_file(
    file: Path, before: SegmentFinding | None, wanted: bytes | None, progress: Progress, stage: str
) -> SegmentFinding:
    """Audit one file. It must continue the segment `before`, and be of the network `wanted` (id), if these are given.

    Raises UnusableError for a file that is no segment.
    """
    from p2pverify.cli.output import UnusableError
    from p2pverify.core.proofs.auditing import audit_segment
    from p2pverify.core.replica.verify import VerificationFailed
    from p2pverify.store.archive.segmentfile import read_segment
    from p2pverify.store.errors import ExportError, NotAnExportError

    header: SegmentHeader | None = None

    def tell(number: int) -> None:
        if number % _TELL_EVERY == 0:
            progress(f"{stage}, record {number}", 0, 0)

    try:
        with file.open("rb") as source:
            opened = read_segment(source)
            header = opened.header
            _require_place(header, before, wanted)
            progress(stage, 0, 0)
            audited = audit_segment(header, opened.states, opened.records(), tell)
            return SegmentFinding(file, header, audited, opened.sha256, None)
    except NotAnExportError as error:
        raise UnusableError(f"{file} is {error.kind}, not a segment of an archive", error.hint) from None
    except ExportError as error:
        fault = SegmentFault(error.reason, error.record, error.offset)
    except VerificationFailed as failed:
        fault = SegmentFault(failed.reason, failed.number, None, failed.record)
    except OSError as error:
        fault = SegmentFault(f"the file cannot be read ({error.strerror})")
    return SegmentFinding(file, header, None, None, fault)


def _is_index(file: Path) -> bool:
    from p2pverify.store.archive.index import INDEX_NAME

    return file.name == INDEX_NAME


def _require_place(header: "SegmentHeader", before: SegmentFinding | None, wanted: bytes | None) -> None:
    """Raises VerificationFailed if a segment is of another network, or does not continue the one before it."""
    from p2pverify.core.proofs.auditing import join_fault
    from p2pverify.core.replica.verify import VerificationFailed

    if wanted not in (None, header.network_id):
        raise VerificationFailed(f"it is of network {header.network_id.hex()}, not of the one that --network names")
    if before is not None and before.header is not None:
        fault = join_fault(header, before.header, before.sha256 or header.before)
        if fault is not None:
            raise VerificationFailed(fault)
