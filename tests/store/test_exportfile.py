"""A ledger export comes back as it was written, or not at all."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pverify.core.records import RECORD_BYTES_MAX
from p2pverify.store.errors import ExportError
from p2pverify.store.exportfile import MAGIC, ExportHeader, read_export, write_export

HEADER = ExportHeader(network_id=bytes([7]) * 32, network_definition=b"rules", cut=bytes([9]) * 32)
RECORDS = [b"one", b"the second", bytes(300), b"\0"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.p2pv"


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
def test_round_trip(path: Path, records: list[bytes]) -> None:
    """Header and records come back in order, from a path, a stream and a dribbling stream."""
    summary = write_export(path, HEADER, iter(records))
    data = path.read_bytes()
    header, found = read_export(path)
    assert (header, list(found)) == (HEADER, records)
    assert read_all(data) == (HEADER, records)
    assert (summary.records, summary.size) == (len(records), len(data))
    assert data.endswith(summary.sha256)


def test_slow_stream(path: Path) -> None:
    """A stream that returns less than asked for is read on."""
    write_export(path, HEADER, RECORDS)
    header, found = read_export(Dribble(path.read_bytes()))  # type: ignore[arg-type]
    assert (header, list(found)) == (HEADER, RECORDS)


def test_same_records_same_bytes(path: Path) -> None:
    """Two exports of one set are equal, byte for byte."""
    write_export(path, HEADER, RECORDS)
    first = path.read_bytes()
    write_export(path, HEADER, RECORDS)
    assert path.read_bytes() == first


def test_every_flipped_byte_is_detected(path: Path) -> None:
    """Whichever byte is altered, by one bit, by all or to nothing, reading ends in an ExportError."""
    write_export(path, HEADER, RECORDS)
    data = path.read_bytes()
    for offset in range(len(data)):
        for altered in {data[offset] ^ 1, data[offset] ^ 0x80, data[offset] ^ 0xFF, 0} - {data[offset]}:
            with pytest.raises(ExportError) as caught:
                read_all(data[:offset] + bytes([altered]) + data[offset + 1 :])
            assert caught.value.offset is not None
            assert 0 <= caught.value.offset <= len(data)


def test_every_truncation_is_detected(path: Path) -> None:
    """A file cut at any byte gives an ExportError that names the cut and the whole records before it."""
    write_export(path, HEADER, RECORDS)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        seen: list[bytes] = []
        with pytest.raises(ExportError, match=rf"ends too early \(at byte {size}, ") as caught:
            seen.extend(read_export(path)[1])  # keeps what came before the error
        assert caught.value.record == len(seen)
        assert seen == RECORDS[: len(seen)]


def test_extended_file_is_detected(path: Path) -> None:
    """Anything behind the trailer, even another export, is an error at that byte."""
    write_export(path, HEADER, RECORDS)
    data = path.read_bytes()
    for more in (b"\0", b"\n", data):
        with pytest.raises(ExportError, match="something follows") as caught:
            read_all(data + more)
        assert caught.value.offset == len(data)


def test_dropped_record_is_detected(path: Path) -> None:
    """A record cut out with its length, or put in twice, does not fit the trailer."""
    write_export(path, HEADER, RECORDS)
    data = path.read_bytes()
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


def test_other_file_is_recognised(path: Path) -> None:
    """A file of another kind is named as such, and a missing one too."""
    path.write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(ExportError, match="not a p2pverify ledger export"):
        read_export(path)
    path.unlink()
    with pytest.raises(ExportError, match="cannot be used"):
        read_export(path)


def test_failed_write_leaves_the_old_file(path: Path) -> None:
    """If the records run into an error, the file is as it was and nothing lies beside it."""
    write_export(path, HEADER, RECORDS)
    before = path.read_bytes()

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        write_export(path, HEADER, broken())
    for bad in (b"", bytes(RECORD_BYTES_MAX + 1)):
        with pytest.raises(ExportError, match="record 1 is empty or longer"):
            write_export(path, HEADER, [b"fine", bad])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_bad_header_is_not_written(path: Path) -> None:
    """A header that no reader would take is refused."""
    for header in (
        ExportHeader(bytes(31), b"rules", bytes(32)),
        ExportHeader(bytes(32), b"rules", bytes(33)),
        ExportHeader(bytes(32), bytes(40_000), bytes(32)),
    ):
        with pytest.raises(ExportError):
            write_export(path, header, [])
    assert not path.exists()


def test_unwritable_place_is_told(tmp_path: Path) -> None:
    """A directory that does not exist gives an ExportError."""
    with pytest.raises(ExportError, match="check the path"):
        write_export(tmp_path / "missing" / "ledger", HEADER, [])
