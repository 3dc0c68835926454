"""A ledger export is read back as written, or not at all."""

import io
from collections.abc import Iterable

import pytest

from p2pverify.core.records.envelope import RECORD_BYTES_MAX
from p2pverify.core.state.codec.sections import STATE_BYTES_MAX
from p2pverify.store.errors import ExportError, NotAnExportError
from p2pverify.store.exportfile import MAGIC, ExportHeader, read_export, write_export

HEADER = ExportHeader(network_id=bytes([7]) * 32, network_definition=b"rules", cut=bytes([9]) * 32)
RECORDS = [b"one", b"the second", bytes(300), b"\0"]


def written(records: Iterable[bytes], header: ExportHeader = HEADER) -> bytes:
    file = io.BytesIO()
    write_export(file, header, records)
    return file.getvalue()


def read_all(data: bytes) -> tuple[ExportHeader, list[bytes]]:
    header, records = read_export(io.BytesIO(data))
    return header, list(records)


class Dribble(io.RawIOBase):
    """A stream that gives one byte at a time, as a slow pipe may."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(size, 1))


@pytest.mark.parametrize("records", [[], RECORDS, [bytes([i]) * RECORD_BYTES_MAX for i in range(1, 5)]])
def test_round_trip(records: list[bytes]) -> None:
    """Header and records are read back in order."""
    file = io.BytesIO()
    summary = write_export(file, HEADER, iter(records))
    data = file.getvalue()
    assert read_all(data) == (HEADER, records)
    assert (summary.records, summary.size) == (len(records), len(data))
    assert data.endswith(summary.sha256)


def test_the_first_state_of_a_forked_network_is_in_the_header() -> None:
    header = ExportHeader(HEADER.network_id, HEADER.network_definition, HEADER.cut, b"a state")
    assert read_all(written(RECORDS, header)) == (header, RECORDS)
    assert len(written(RECORDS, header)) > len(written(RECORDS))


def test_slow_stream() -> None:
    """A stream that returns less than requested is read further, and no byte is read twice, because a pipe cannot be
    rewound."""
    header, found = read_export(Dribble(written(RECORDS)))  # type: ignore[arg-type]
    assert (header, list(found)) == (HEADER, RECORDS)


def test_same_records_same_bytes() -> None:
    """Two exports of one set are equal, byte for byte."""
    assert written(RECORDS) == written(RECORDS)


def test_every_flipped_byte_is_detected() -> None:
    """If any byte is changed, by one bit, by all or to 0, reading ends with an ExportError."""
    data = written(RECORDS)
    for offset in range(len(data)):
        for altered in {data[offset] ^ 1, data[offset] ^ 0x80, data[offset] ^ 0xFF, 0} - {data[offset]}:
            with pytest.raises(ExportError) as caught:
                read_all(data[:offset] + bytes([altered]) + data[offset + 1 :])
            assert caught.value.offset is not None
            assert 0 <= caught.value.offset <= len(data)


def test_every_truncation_is_detected() -> None:
    """A file cut at any byte gives an ExportError that names the cut and the whole records before it."""
    data = written(RECORDS)
    for size in range(1, len(data)):
        seen: list[bytes] = []
        with pytest.raises(ExportError, match=rf"ends too early \(at byte {size}, ") as caught:
            seen.extend(read_export(io.BytesIO(data[:size]))[1])  # keeps the records before the error
        assert caught.value.record == len(seen)
        assert seen == RECORDS[: len(seen)]


def test_extended_file_is_detected() -> None:
    """Anything after the trailer, even another export, is an error at that byte."""
    data = written(RECORDS)
    for more in (b"\0", b"\n", data):
        with pytest.raises(ExportError, match="something follows") as caught:
            read_all(data + more)
        assert caught.value.offset == len(data)


def test_dropped_record_is_detected() -> None:
    """A record that is removed with its length, or added twice, does not fit the trailer."""
    data = written(RECORDS)
    item = len(RECORDS[1]).to_bytes(4, "big") + RECORDS[1]
    for altered in (data.replace(item, b""), data.replace(item, item + item)):
        with pytest.raises(ExportError, match="the trailer counts 4 records"):
            read_all(altered)


def test_giant_lengths_are_not_believed() -> None:
    """A length above the limit is an error before anything of that size is read."""
    for data, record in ((MAGIC + b"\xff\xff\xff\xff", 0), (MAGIC + b"\x00\x10\x00\x00", 0)):
        with pytest.raises(ExportError, match="are allowed") as caught:
            read_all(data)
        assert (caught.value.offset, caught.value.record) == (len(MAGIC), record)


def test_another_file_is_no_damaged_export() -> None:
    """A file of another kind is recognised. A changed byte in the first line is still a damaged export."""
    with pytest.raises(NotAnExportError, match="a database"):
        read_all(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(NotAnExportError, match="an empty file"):
        read_all(b"")
    with pytest.raises(ExportError, match="first line is damaged"):
        read_all(b"P" + written(RECORDS)[1:])


@pytest.mark.parametrize("bad", [b"", bytes(RECORD_BYTES_MAX + 1)])
def test_bad_record_is_not_written(bad: bytes) -> None:
    """A record that no reader would accept gives an error that names it."""
    with pytest.raises(ExportError, match="record 1 is empty or longer"):
        written([b"fine", bad])


def test_bad_header_is_not_written() -> None:
    """A header that no reader would accept is refused."""
    for header in (
        ExportHeader(bytes(31), b"rules", bytes(32)),
        ExportHeader(bytes(32), b"rules", bytes(33)),
        ExportHeader(bytes(32), bytes(40_000), bytes(32)),
        ExportHeader(bytes(32), b"rules", bytes(32), bytes(STATE_BYTES_MAX + 1)),
    ):
        with pytest.raises(ExportError):
            written([], header)
