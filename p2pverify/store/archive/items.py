"""Files of length-prefixed items that end with a digest of all bytes before it: exports of ledgers, and segments.

    a first line that names the kind of the file
    item = length (4 bytes, big-endian), that many bytes
    at last items that are records, and the length 0, which no record has
    trailer: number of records (8 bytes, big-endian), SHA-256 of every byte before it (32 bytes), end of file

The trailer tells a whole file from a damaged one. Anyone can compute it, so it does not prove who wrote the records.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from p2pverify.core.records.envelope import RECORD_BYTES_MAX
from p2pverify.store.errors import ExportError, NotAnExportError
from p2pverify.store.filekinds import HEAD_BYTES, name_kind

_LENGTH_BYTES = 4
_COUNT_BYTES = 8
_MAGIC_FAULTS_MAX = 2  # up to this many changed bytes in the first line, a file still counts as one of its kind


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Figures of a written file."""

    records: int
    size: int  # bytes
    sha256: bytes  # the trailer's digest, 32 B


class ItemWriter:
    """Writes bytes, and keeps their count and digest."""

    def __init__(self, file: BinaryIO, magic: bytes) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0
        self._write(magic)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def item(self, data: bytes) -> None:
        """Write one item."""
        self._write(len(data).to_bytes(_LENGTH_BYTES, "big"))
        self._write(data)

    def end(self, records: Iterable[bytes]) -> ExportSummary:
        """Write the records and the trailer. Raises ExportError if a record is too long."""
        count = 0
        for record in records:
            if not 0 < len(record) <= RECORD_BYTES_MAX:
                raise ExportError(f"record {count} is empty or longer than {RECORD_BYTES_MAX} bytes")
            self.item(record)
            count += 1
        self.item(b"")
        self._write(count.to_bytes(_COUNT_BYTES, "big"))
        digest = self._digest.digest()
        self._write(digest)
        return ExportSummary(count, self._size, digest)


class ItemReader:
    """Reads bytes, keeps their count and digest, and gives the position of a fault. Every step raises ExportError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.offset = 0
        self.record = 0
        self.sha256 = b""  # the digest in the trailer, once that was read

    def fault(self, reason: str) -> ExportError:
        return ExportError(reason, self.offset, self.record)

    def magic(self, magic: bytes) -> None:
        """Read the first line. With one or two changed bytes it counts as damaged, with more as another file.

        Raises NotAnExportError for another file.
        """
        start = self._take(len(magic))
        if start == magic:
            self._digest.update(start)
            self.offset = len(start)
            return
        if start and magic.startswith(start):
            raise ExportError("the file ends too early", len(start), 0)
        if sum(here == wanted for here, wanted in zip(start, magic, strict=False)) >= len(magic) - _MAGIC_FAULTS_MAX:
            raise ExportError("the first line is damaged, or that of another version", 0, 0)
        raise NotAnExportError(*name_kind(start + self._take(HEAD_BYTES)))

    def item(self, size_max: int, name: str) -> bytes:
        """One item; empty at the end mark."""
        size = int.from_bytes(self._read(_LENGTH_BYTES), "big")
        if size > size_max:
            self.offset -= _LENGTH_BYTES
            raise self.fault(f"a {name} of {size} bytes, where {size_max} are allowed")
        return self._read(size)

    def records(self) -> Iterator[bytes]:
        """The records. The file is known to be whole only when the iterator has ended."""
        while record := self.item(RECORD_BYTES_MAX, "record"):
            self.record += 1
            yield record
        start = self.offset
        count = int.from_bytes(self._read(_COUNT_BYTES), "big")
        if count != self.record:
            raise ExportError(f"the trailer counts {count} records", start, self.record)
        expected = self._digest.digest()
        start = self.offset
        if self._read(len(expected)) != expected:
            raise ExportError("the digest in the trailer is not that of the file", start, self.record)
        if self._take(1):
            raise self.fault("something follows the trailer")
        self.sha256 = expected

    def _take(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end. A pipe delivers them in pieces."""
        pieces = b""
        try:
            while len(pieces) < size and (piece := self._file.read(size - len(pieces))):
                pieces += piece
        except OSError as error:
            raise self.fault(f"the file cannot be read ({error.strerror})") from error
        return pieces

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = self._take(size)
        if len(data) < size:
            raise ExportError("the file ends too early", self.offset + len(data), self.record)
        self._digest.update(data)
        self.offset += size
        return data
