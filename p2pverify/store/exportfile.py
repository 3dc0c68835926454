"""The ledger export: one file from which anyone can recompute every score.

    "p2pverify-ledger/1" LF
    first item: the header, CBOR [ network id, network definition, cut ]
    for a forked network the header has true as a fourth part, and the next item is the state with which it begins
    then the records and the trailer

`archive.items` describes items and trailer. The reader checks whether the records are valid and whether the cut is
certified.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from p2pverify.core.contract.network import NETWORK_BYTES_MAX
from p2pverify.core.encoding.canon import as_array, as_bool, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX
from p2pverify.store.archive.items import ExportSummary, ItemReader, ItemWriter
from p2pverify.store.errors import ExportError

MAGIC = b"p2pverify-ledger/1\n"
DEFINITION_BYTES_MAX = NETWORK_BYTES_MAX
_HEADER_BYTES_MAX = DEFINITION_BYTES_MAX + 128


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """The network and the cut of the records in an export.

    `start` is the state that the network begins with (`core.state.fork`); empty if it begins with its founders.
    """

    network_id: bytes  # 32 B
    network_definition: bytes  # canonical form, whose hash is the network id
    cut: bytes  # 32 B, id of the cut whose view the export is for
    start: bytes = b""


def write_export(file: BinaryIO, header: ExportHeader, records: Iterable[bytes]) -> ExportSummary:
    """Write an export to a file or a stream. Blocks. Raises OSError, and ExportError if a part is too long."""
    for part, name in ((header.network_id, "network id"), (header.cut, "cut")):
        if len(part) != 32:
            raise ExportError(f"the {name} is not 32 bytes")
    if len(header.network_definition) > DEFINITION_BYTES_MAX:
        raise ExportError(f"the network definition is longer than {DEFINITION_BYTES_MAX} bytes")
    if len(header.start) > STATE_BYTES_MAX:
        raise ExportError(f"the state at the beginning is longer than {STATE_BYTES_MAX} bytes")
    writer = ItemWriter(file, MAGIC)
    parts = [header.network_id, header.network_definition, header.cut]
    writer.item(encode([*parts, True] if header.start else parts))
    if header.start:
        writer.item(header.start)
    return writer.end(records)


def read_export(file: BinaryIO) -> tuple[ExportHeader, Iterator[bytes]]:
    """The header and the records of an export, in the file's order. Blocks.

    The file is known to be whole only when the iterator has ended, so do not judge any record before that. Both steps
    raise ExportError, which names the byte offset and the number of whole records before the fault. The first step
    raises NotAnExportError for a file of another kind. The file is read once and to its end, so it may be a pipe; it is
    left open. Memory use does not grow with its size.
    """
    reader = ItemReader(file)
    return _read_header(reader), reader.records()


def _read_header(reader: ItemReader) -> ExportHeader:
    reader.magic(MAGIC)
    start = reader.offset
    data = reader.item(_HEADER_BYTES_MAX, "header")
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
    return replace(header, start=reader.item(STATE_BYTES_MAX, "state")) if has_start else header
