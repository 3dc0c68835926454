"""The ledger export: one file from which anyone can recompute every score.

    "p2pverify-ledger/1" LF
    item = length (4 bytes, big-endian), that many bytes
    first item: the header, CBOR [ network id, network definition, cut ]
    for a forked network the header has true as a fourth part, and the next item is the state with which it begins
    then one item per record; then the length 0, which no record has
    trailer: number of records (8 bytes, big-endian), SHA-256 of every byte before it (32 bytes), end of file

The trailer tells a whole file from a damaged one. Anyone can compute it, so it does not prove who wrote the records.
The reader checks whether the records are valid and whether the cut is certified.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from p2pverify.core.contract.network import NETWORK_BYTES_MAX
from p2pverify.core.encoding.canon import as_array, as_bool, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import RECORD_BYTES_MAX
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX
from p2pverify.store.errors import ExportError, NotAnExportError
from p2pverify.store.filekinds import HEAD_BYTES, name_kind

MAGIC = b"p2pverify-ledger/1\n"
DEFINITION_BYTES_MAX = NETWORK_BYTES_MAX
_HEADER_BYTES_MAX = DEFINITION_BYTES_MAX + 128
_LENGTH_BYTES = 4
_COUNT_BYTES = 8
_MAGIC_FAULTS_MAX = 2  # up to this many changed bytes in the first line, a file still counts as an export


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """The network and the cut of the records in an export.

    `start` is the state that the network begins with (`core.state.fork`); empty if it begins with its founders.
    """

    network_id: bytes  # 32 B
    network_definition: bytes  # canonical form, whose hash is the network id
    cut: bytes  # 32 B, id of the cut whose view the export is for
    start: bytes = b""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Figures of a written export."""

    records: int
    size: int  # bytes
    sha256: bytes  # the trailer's digest, 32 B


class _Writer:
    """Writes bytes, and keeps their count and digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def write_item(self, data: bytes) -> None:
        self.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
        self.write(data)


class _Reader:
    """Reads bytes, keeps their count and digest, and gives the position of a fault."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.offset = 0
        self.record = 0

    def fault(self, reason: str) -> ExportError:
        return ExportError(reason, self.offset, self.record)

    def take(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end. A pipe delivers them in pieces."""
        pieces = b""
        try:
            while len(pieces) < size and (piece := self._file.read(size - len(pieces))):
                pieces += piece
        except OSError as error:
            raise self.fault(f"the file cannot be read ({error.strerror})") from error
        return pieces

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises ExportError at an early end."""
        data = self.take(size)
        if len(data) < size:
            raise ExportError("the file ends too early", self.offset + len(data), self.record)
        self.digest.update(data)
        self.offset += size
        return data

    def read_item(self, size_max: int, name: str) -> bytes:
        """One length-prefixed item; empty at the end mark."""
        size = int.from_bytes(self.read(_LENGTH_BYTES), "big")
        if size > size_max:
            self.offset -= _LENGTH_BYTES
            raise self.fault(f"a {name} of {size} bytes, where {size_max} are allowed")
        return self.read(size)


def write_export(file: BinaryIO, header: ExportHeader, records: Iterable[bytes]) -> ExportSummary:
    """Write an export to a file or a stream. Blocks. Raises OSError, and ExportError if a part is too long."""
    for part, name in ((header.network_id, "network id"), (header.cut, "cut")):
        if len(part) != 32:
            raise ExportError(f"the {name} is not 32 bytes")
    if len(header.network_definition) > DEFINITION_BYTES_MAX:
        raise ExportError(f"the network definition is longer than {DEFINITION_BYTES_MAX} bytes")
    if len(header.start) > STATE_BYTES_MAX:
        raise ExportError(f"the state at the beginning is longer than {STATE_BYTES_MAX} bytes")
    writer = _Writer(file)
    writer.write(MAGIC)
    parts = [header.network_id, header.network_definition, header.cut]
    writer.write_item(encode([*parts, True] if header.start else parts))
    if header.start:
        writer.write_item(header.start)
    count = 0
    for record in records:
        if not 0 < len(record) <= RECORD_BYTES_MAX:
            raise ExportError(f"record {count} is empty or longer than {RECORD_BYTES_MAX} bytes")
        writer.write_item(record)
        count += 1
    writer.write_item(b"")
    writer.write(count.to_bytes(_COUNT_BYTES, "big"))
    digest = writer.digest.digest()
    writer.write(digest)
    return ExportSummary(count, writer.size, digest)


def read_export(file: BinaryIO) -> tuple[ExportHeader, Iterator[bytes]]:
    """The header and the records of an export, in the file's order. Blocks.

    The file is known to be whole only when the iterator has ended, so do not judge any record before that. Both steps
    raise ExportError, which names the byte offset and the number of whole records before the fault. The first step
    raises NotAnExportError for a file of another kind. The file is read once and to its end, so it may be a pipe; it is
    left open. Memory use does not grow with its size.
    """
    reader = _Reader(file)
    return _read_header(reader), _read_records(reader)


def _read_header(reader: _Reader) -> ExportHeader:
    _read_magic(reader)
    start = reader.offset
    data = reader.read_item(_HEADER_BYTES_MAX, "header")
    try:
        parts = as_array(decode(data, size_max=_HEADER_BYTES_MAX, depth_max=1), "header")
        has_start = len(parts) == 4 and as_bool(parts[3], "state")
        as_array(parts[:3] if has_start else parts, "header", length=3)
        header = ExportHeader(
            network_id=as_bytes(parts[0], "network id", size=32),
            network_definition=as_bytes(parts[1], "network definition", size_max=DEFINITION_BYTES_MAX),
            cut=as_bytes(parts[2], "cut", size=32),
        )
    except DecodeError as error:
        raise ExportError(f"the header is damaged ({error.reason})", start, 0) from None
    return replace(header, start=reader.read_item(STATE_BYTES_MAX, "state")) if has_start else header


def _read_magic(reader: _Reader) -> None:
    """Read the first line. With one or two changed bytes it counts as a damaged export, with more as another file."""
    start = reader.take(len(MAGIC))
    if start == MAGIC:
        reader.digest.update(start)
        reader.offset = len(start)
        return
    if start and MAGIC.startswith(start):
        raise ExportError("the file ends too early", len(start), 0)
    if sum(here == wanted for here, wanted in zip(start, MAGIC, strict=False)) >= len(MAGIC) - _MAGIC_FAULTS_MAX:
        raise ExportError("the first line is damaged, or that of another version", 0, 0)
    raise NotAnExportError(*name_kind(start + reader.take(HEAD_BYTES)))


def _read_records(reader: _Reader) -> Iterator[bytes]:
    while record := reader.read_item(RECORD_BYTES_MAX, "record"):
        reader.record += 1
        yield record
    start = reader.offset
    count = int.from_bytes(reader.read(_COUNT_BYTES), "big")
    if count != reader.record:
        raise ExportError(f"the trailer counts {count} records", start, reader.record)
    expected = reader.digest.digest()
    start = reader.offset
    if reader.read(len(expected)) != expected:
        raise ExportError("the digest in the trailer is not that of the file", start, reader.record)
    if reader.take(1):
        raise reader.fault("something follows the trailer")
