"""Segments of the history of a fold, in memory."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.proofs.auditing import NO_SEGMENT, AuditedSegment, audit_segment
from p2pverify.core.proofs.segment import SegmentHeader, decode_segment_header
from p2pverify.core.replica.verify import VerificationFailed
from p2pverify.store.archive.segmentfile import read_segment, write_segment


@dataclass(frozen=True, slots=True)
class SegmentParts:
    """What one segment is written of."""

    header: SegmentHeader
    states: tuple[bytes, ...]
    records: tuple[bytes, ...]

    def file(self) -> bytes:
        target = io.BytesIO()
        write_segment(target, self.header, self.states, self.records)
        return target.getvalue()

    def changed(self, changes: Iterable[tuple[int, bytes | None]]) -> "SegmentParts":
        """The parts with other items, by their place in the file, or without them if there are none."""
        items: list[bytes | None] = [self.header.encode(), *self.states, *self.records]
        for place, data in changes:
            items[place] = data
        first = 1 + len(self.states)
        assert items[0] is not None
        states, records = (tuple(each for each in part if each is not None) for part in (items[1:first], items[first:]))
        return SegmentParts(decode_segment_header(items[0]), states, records)

    def audit(self) -> AuditedSegment:
        return audit_segment(self.header, self.states, self.records)


def segments_of(archiving: Archiving, epochs: int, *, last: int | None = None) -> list[SegmentParts]:
    """All segments of a path, of so many epochs each; the last one ends at a place, by default the last possible."""
    found: list[SegmentParts] = []
    first, before = archiving.first, NO_SEGMENT
    for end in archiving.ends(first, archiving.newest if last is None else last, epochs):
        made = archiving.make(first, end, before)
        parts = SegmentParts(made.header, made.states, tuple(made.records))
        first, before = end, read_back(parts.file())[1]
        found.append(parts)
    return found


def read_back(file: bytes) -> tuple[SegmentParts, bytes]:
    """The parts of a file, and the digest in its trailer."""
    opened = read_segment(io.BytesIO(file))
    parts = SegmentParts(opened.header, opened.states, tuple(opened.records()))
    return parts, opened.sha256


def shown_segment(file: bytes) -> dict[str, object] | str:
    """What a segment shows, as in the vectors, or why it is false."""
    parts, digest = read_back(file)
    try:
        audited = parts.audit()
    except VerificationFailed as failed:
        return failed.reason
    header = audited.header
    return {
        "network": header.network_id.hex(),
        "first": header.first.hex(),
        "first_epoch": audited.first_epoch,
        "first_root": header.first_root.hex(),
        "last": header.last.hex(),
        "last_epoch": audited.last_epoch,
        "last_root": header.last_root.hex(),
        "before": header.before.hex(),
        "cuts": audited.cuts,
        "records": audited.records,
        "digest": digest.hex(),
    }


def without(records: Sequence[bytes], *places: int) -> tuple[bytes, ...]:
    return tuple(
        record for place, record in enumerate(records) if place not in {each % len(records) for each in places}
    )


def flipped(data: bytes, place: int) -> bytes:
    """The bytes with one bit changed."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def replaced(items: Iterable[bytes], place: int, item: bytes) -> tuple[bytes, ...]:
    found = list(items)
    found[place] = item
    return tuple(found)
