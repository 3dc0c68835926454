"""The ledger export: one file with which anyone can recompute every score.

    "p2pverify-ledger/1" LF
    item = length (4 bytes, big-endian), that many bytes
    first item: the header, CBOR [ network id, network definition, cut ]
    then one item per record; then the length 0, which no record has
    trailer: number of records (8 bytes, big-endian), SHA-256 of every byte before it (32 bytes), end of file

The trailer tells damage from a whole file; anyone can compute it, so it proves nothing about who wrote the
records. Whether the records are valid and whether the cut is certified is left to the reader's checks.
"""

import errno
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from p2pverify.core.canon import as_array, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.network import NETWORK_BYTES_MAX
from p2pverify.core.records import RECORD_BYTES_MAX
from p2pverify.node.home import atomic_file
from p2pverify.store.errors import ExportError

MAGIC = b"p2pverify-ledger/1\n"
DEFINITION_BYTES_MAX = NETWORK_BYTES_MAX
_HEADER_BYTES_MAX = DEFINITION_BYTES_MAX + 128
_LENGTH_BYTES = 4
_COUNT_BYTES = 8


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """What the records are of."""

    network_id: bytes  # 32 B
    network_definition: bytes  # canonical form, whose hash is the network id
    cut: bytes  # 32 B, id of the cut whose view the export is meant for


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written."""

    records: int
    size: int  # bytes
    sha256: bytes  # the trailer's digest, 32 B


class _Writer:
    """Counts and digests what it writes."""

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
    """Counts and digests what it reads, and knows where a fault lies."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.offset = 0
        self.record = 0

    def resume(self, file: BinaryIO) -> None:
        """Go on with the same bytes in a file opened again."""
        file.seek(self.offset)
        self._file = file

    def fault(self, reason: str) -> ExportError:
        return ExportError(reason, self.offset, self.record)

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; a pipe gives them in pieces."""
        pieces = b""
        try:
            while len(pieces) < size and (piece := self._file.read(size - len(pieces))):
                pieces += piece
        except OSError as error:
            raise self.fault(f"the file cannot be read ({error.strerror})") from error
        return pieces

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or ExportError."""
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


def write_export(path: Path, header: ExportHeader, records: Iterable[bytes]) -> ExportSummary:
    """Write an export that takes the place of `path` when it is complete and on disk. Blocks.

    Raises ExportError if a part is too long or the disk refuses; `path` is then as it was.
    """
    for part, name in ((header.network_id, "network id"), (header.cut, "cut")):
        if len(part) != 32:
            raise ExportError(f"the {name} is not 32 bytes")
    if len(header.network_definition) > DEFINITION_BYTES_MAX:
        raise ExportError(f"the network definition is longer than {DEFINITION_BYTES_MAX} bytes")
    path = Path(path)
    with _translated(path), atomic_file(path, mode=0o666) as file:
        writer = _Writer(file)
        writer.write(MAGIC)
        writer.write_item(encode([header.network_id, header.network_definition, header.cut]))
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


def read_export(source: Path | BinaryIO) -> tuple[ExportHeader, Iterator[bytes]]:
    """The header and the records of an export, in the file's order. Blocks.

    The file is known to be whole only when the iterator has ended: until then hold the records back from any
    verdict. Both steps raise ExportError, which names the byte offset and the number of whole records before
    the fault. A stream is read to its end and left open; memory use does not grow with the file.
    """
    if not isinstance(source, Path):
        reader = _Reader(source)
        return _read_header(reader), _read_records(reader)
    with _translated(source), source.open("rb") as file:
        reader = _Reader(file)
        header = _read_header(reader)
    return header, _read_from_path(source, reader)


def _read_from_path(path: Path, reader: _Reader) -> Iterator[bytes]:
    """The records behind a header that was read; opened again, so that an unused iterator leaks nothing."""
    with _translated(path), path.open("rb") as file:
        reader.resume(file)
        yield from _read_records(reader)


def _read_header(reader: _Reader) -> ExportHeader:
    if reader.read(len(MAGIC)) != MAGIC:
        raise ExportError("not a p2pverify ledger export of version 1", 0, 0)
    start = reader.offset
    data = reader.read_item(_HEADER_BYTES_MAX, "header")
    try:
        parts = as_array(decode(data, size_max=_HEADER_BYTES_MAX, depth_max=1), "header", length=3)
        return ExportHeader(
            network_id=as_bytes(parts[0], "network id", size=32),
            network_definition=as_bytes(parts[1], "network definition", size_max=DEFINITION_BYTES_MAX),
            cut=as_bytes(parts[2], "cut", size=32),
        )
    except DecodeError as error:
        raise ExportError(f"the header is damaged ({error.reason})", start, 0) from None


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


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(f"no space left to write {path}: free some and try again") from error
        raise ExportError(f"{path} cannot be used ({error.strerror}): check the path") from error
