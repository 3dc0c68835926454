"""The index of an archive: a JSON file that lists the segments beside it, in order. Nothing in it is trusted."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from p2pverify.node.files.home import atomic_file
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.reports.documents.jsonform import DocumentError, parse, written
from p2pverify.node.reports.documents.shape import ApiDocument, Count

INDEX_NAME = "index.json"
#: More than a century of segments of 4,096 epochs of a minute.
INDEX_BYTES_MAX = 8 * 1024 * 1024
_FILE = re.compile(r"[0-9a-z-]{1,64}\.segment", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class IndexedSegment:
    """A segment in an index. The cuts are ids; `sha256` is the digest in the trailer; all are hexadecimal."""

    file: str
    first: str
    first_epoch: Count
    last: str
    last_epoch: Count
    records: Count
    size: Count
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ArchiveIndex(ApiDocument):
    """The segments of an archive of one network, oldest first. `epochs` are those of a whole segment."""

    schema: Literal["p2pverify/archive/1"]
    network: str
    epochs: Count
    segments: tuple[IndexedSegment, ...]


def segment_name(first_epoch: int, last_epoch: int) -> str:
    """The file name of a segment. Names sort like the segments."""
    return f"{first_epoch:08}-{last_epoch:08}.segment"


def read_index(path: Path) -> ArchiveIndex:
    """Read an index. Raises FileError."""
    hint = "write an archive with 'p2pverify ledger export --dir DIR'"
    data = read_bytes(path, size_max=INDEX_BYTES_MAX, missing=hint)
    try:
        return parse_index(data)
    except DocumentError as error:
        raise FileError(path, f"is no index of an archive: {error}", hint) from None


def parse_index(data: bytes) -> ArchiveIndex:
    """An index from its bytes. Raises DocumentError."""
    found = parse(ArchiveIndex, data)
    if not _ID.fullmatch(found.network) or not found.epochs:
        raise DocumentError("no network, or segments of no epochs")
    for each in found.segments:
        if not _FILE.fullmatch(each.file):
            raise DocumentError("a file name that no segment has")
        if not all(_ID.fullmatch(text) for text in (each.first, each.last, each.sha256)):
            raise DocumentError("a digest that is not 64 hexadecimal digits")
    return found


def write_index(path: Path, index: ArchiveIndex) -> None:
    """Replace an index. Raises OSError."""
    with atomic_file(path, mode=0o666) as file:
        file.write(json.dumps(written(index), indent=1).encode() + b"\n")
