"""A segment of an archive as a file.

    "p2pverify-segment/1" LF
    first item: the header (`core.proofs.segment`)
    one item for each state that the header names
    then the records and the trailer

`items` describes items and trailer. Protocol page: protocol/archive.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.segment import SEGMENT_HEADER_BYTES_MAX, SegmentHeader, decode_segment_header
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX
from p2pverify.store.archive.items import ExportSummary, ItemReader, ItemWriter
from p2pverify.store.errors import ExportError

SEGMENT_MAGIC = b"p2pverify-segment/1\n"


@dataclass(frozen=True, slots=True)
class OpenedSegment:
    """The beginning of a segment that is being read, and its records."""

    header: SegmentHeader
    states: tuple[bytes, ...]
    _reader: ItemReader

    def records(self) -> Iterator[bytes]:
        """The records, once, in the file's order. Raises ExportError. Only at its end the file is known to be whole."""
        return self._reader.records()

    @property
    def sha256(self) -> bytes:
        """The digest in the trailer, after the last record."""
        return self._reader.sha256


def write_segment(
    file: BinaryIO, header: SegmentHeader, states: Sequence[bytes], records: Iterable[bytes]
) -> ExportSummary:
    """Write a segment. Blocks. Raises OSError, and ExportError if a part is too long."""
    assert len(states) == header.states
    if any(len(state) > STATE_BYTES_MAX for state in states):
        raise ExportError(f"a state is longer than {STATE_BYTES_MAX} bytes")
    writer = ItemWriter(file, SEGMENT_MAGIC)
    for item in (header.encode(), *states):
        writer.item(item)
    return writer.end(records)


def read_segment(file: BinaryIO) -> OpenedSegment:
    """Read the beginning of a segment. Blocks.

    Raises ExportError, which names the byte offset, and NotAnExportError for a file of another kind. The file is read
    once, so it may be a pipe, and is left open. Memory use does not grow with the number of records.
    """
    reader = ItemReader(file)
    reader.magic(SEGMENT_MAGIC)
    start = reader.offset
    try:
        header = decode_segment_header(reader.item(SEGMENT_HEADER_BYTES_MAX, "header"))
    except DecodeError as error:
        raise ExportError(f"the header is damaged ({error.reason})", start, 0) from None
    states = tuple(reader.item(STATE_BYTES_MAX, "state") for _ in range(header.states))
    return OpenedSegment(header, states, reader)
