"""Writes the segments of a node's database into a folder, with an index. The node may run meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.proofs.auditing import NO_SEGMENT
from p2pverify.node.files.home import atomic_file
from p2pverify.store.archive.index import (
    INDEX_NAME,
    ArchiveIndex,
    IndexedSegment,
    read_index,
    segment_name,
    write_index,
)
from p2pverify.store.archive.segmentfile import write_segment
from p2pverify.store.errors import StoreError, from_os

#: Told the number of segments written, and of all.
TellSegments = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What to export: from a cut to a cut (32 B each), in segments of so many epochs.

    By default it goes on from the end of the archive, or begins with the network itself. It ends with the last cut that
    completes a segment.
    """

    first: bytes | None
    last: bytes | None
    epochs: int


def export_segments(
    archiving: Archiving, network_id: bytes, folder: Path, order: ExportOrder
) -> Iterator[IndexedSegment]:
    """Write segments, each with a new index. Yields each one that was written. Raises StoreError, FileError."""
    index = _index(folder, network_id, order.epochs)
    first = _first(archiving, index, order.first)
    last = _last(archiving, first, order)
    before = NO_SEGMENT
    if index.segments and index.segments[-1].last == archiving.path[first].hex():
        before = bytes.fromhex(index.segments[-1].sha256)
    elif index.segments:
        raise StoreError(
            "the segments in this folder do not end with the first cut",
            f"go on from cut {index.segments[-1].last}, or write into another folder",
        )
    for end in archiving.ends(first, last, order.epochs):
        made = archiving.make(first, end, before)
        name = segment_name(archiving.epoch(first), archiving.epoch(end))
        try:
            with atomic_file(folder / name, mode=0o666) as file:
                summary = write_segment(file, made.header, made.states, made.records)
            one = IndexedSegment(
                file=name,
                first=made.header.first.hex(),
                first_epoch=archiving.epoch(first),
                last=made.header.last.hex(),
                last_epoch=archiving.epoch(end),
                records=summary.records,
                size=summary.size,
                sha256=summary.sha256.hex(),
            )
            index = replace(index, segments=(*index.segments, one))
            write_index(folder / INDEX_NAME, index)
        except OSError as error:
            raise from_os(error, folder) from error
        yield one
        first, before = end, summary.sha256


def _index(folder: Path, network_id: bytes, epochs: int) -> ArchiveIndex:
    path = folder / INDEX_NAME
    if not path.exists():
        return ArchiveIndex(schema="p2pverify/archive/1", network=network_id.hex(), epochs=epochs, segments=())
    found = read_index(path)
    if found.network != network_id.hex():
        raise StoreError(f"{folder} has an archive of another network", "write into another folder")
    if found.epochs != epochs:
        raise StoreError(
            f"{folder} has segments of {found.epochs} epochs",
            f"write into another folder, or say --epochs {found.epochs}",
        )
    return found


def _first(archiving: Archiving, index: ArchiveIndex, wanted: bytes | None) -> int:
    chosen = bytes.fromhex(index.segments[-1].last) if wanted is None and index.segments else wanted
    if chosen is None:
        place = archiving.first
        if not archiving.has_beginning:
            raise _gone(archiving, "this home does not hold the whole history")
        return place
    try:
        place = archiving.path.index(chosen)
    except ValueError:
        raise _gone(archiving, f"cut {chosen.hex()} is not on the path that this home holds") from None
    if not archiving.can_begin(place):
        raise _gone(archiving, f"no segment can begin with cut {chosen.hex()}")
    return place


def _last(archiving: Archiving, first: int, order: ExportOrder) -> int:
    if order.last is None:
        places = range(archiving.newest, first, -1)
        found = next((place for place in places if archiving.is_complete(place, order.epochs)), None)
        if found is None:
            raise StoreError(
                f"no further segment of {order.epochs} epochs is complete", "--to CUT writes a shorter one"
            )
        return found
    try:
        place = archiving.path.index(order.last)
    except ValueError:
        raise StoreError(
            f"cut {order.last.hex()} is not on the path that this home holds", "'p2pverify status' shows recent cuts"
        ) from None
    if not first < place <= archiving.newest:
        reason = (
            "the newest cut has no other on top of it yet" if place > first else "the last cut is not after the first"
        )
        raise StoreError(f"no segment can end with cut {order.last.hex()}: {reason}", "choose another cut with --to")
    return place


def _gone(archiving: Archiving, reason: str) -> StoreError:
    """What this home can export from."""
    path, first = archiving.path, archiving.first
    if len(path) <= first + 1:
        return StoreError(reason, "no segment can begin here yet: wait for more final cuts")
    begin = f"--from {path[first].hex()} (epoch {archiving.epoch(first)})"
    if archiving.has_beginning:
        return StoreError(reason, f"segments begin with the network itself, {begin}, or any cut after the fourth")
    return StoreError(
        reason, f'the oldest cut to begin with is {begin}; an archive (history = "all") holds all of them'
    )
