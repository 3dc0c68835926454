"""Splitting records at fixed places gives the result of the strict reader, or nothing."""

from hypothesis import example, given
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import DOMAIN, RECORD_BYTES_MAX
from p2pverify.core.records.fast_path import header_bytes, split_record

EDGES = (0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32)
SIZES = (0, 1, 23, 24, 255, 256, 257, 61_440, 65_300)
numbers = st.sampled_from(EDGES) | st.integers(0, 2**40)


def _bytes_of(epoch: int, seq: int, kind: int, size: int, sizes: tuple[int, ...] = (32, 32, 32, 32, 64)) -> bytes:
    network, author, prev, body, signature = (bytes([number]) * length for number, length in enumerate(sizes))
    return encode([[DOMAIN, network, author, epoch, seq, prev, kind, body], signature, bytes(size)])


@given(numbers, numbers, st.integers(0, 300), st.sampled_from(SIZES))
def test_canonical_records_are_split(epoch: int, seq: int, kind: int, size: int) -> None:
    """Every part is found. Only very large numbers and unknown kinds are left to the strict reader."""
    data = _bytes_of(epoch, seq, kind, size)
    found = split_record(data)
    if max(epoch, seq) >= 2**32 or kind > 255 or len(data) > 0xFFFF:
        assert found is None
        return
    assert found is not None
    header, signature, payload = found
    assert [[DOMAIN, *header], signature, payload] == decode(data, size_max=RECORD_BYTES_MAX)
    assert header_bytes(data, payload) == encode([DOMAIN, *header])


@given(
    st.sampled_from([_bytes_of(300, 70_000, 5, size) for size in (0, 23, 24, 255, 256)]),
    st.integers(0, 600),
    st.integers(0, 255),
    st.sampled_from(["change", "insert", "delete", "cut"]),
)
@example(_bytes_of(300, 70_000, 5, 0), 82, 0x1B, "change")
def test_whatever_is_split_is_canonical(data: bytes, at: int, byte: int, how: str) -> None:
    """Bytes that are no canonical record are never split. Other bytes give their contents."""
    at %= len(data)
    end = {"change": at + 1, "insert": at, "delete": at + 1, "cut": len(data)}[how]
    changed = data[:at] + (bytes([byte]) if how in ("change", "insert") else b"") + data[end:]
    found = split_record(changed)
    try:
        value = decode(changed, size_max=RECORD_BYTES_MAX)
    except DecodeError:
        assert found is None
        return
    if found is not None:
        header, signature, payload = found
        assert [[DOMAIN, *header], signature, payload] == value


def test_parts_of_other_sizes_are_left_to_the_strict_reader() -> None:
    """A key, digest or signature of another length is never accepted."""
    right = (32, 32, 32, 32, 64)
    assert split_record(_bytes_of(1, 1, 1, 40, right)) is not None
    for number in range(5):
        for by in (-1, 1):
            sizes = tuple(size + by * (number == place) for place, size in enumerate(right))
            assert split_record(_bytes_of(1, 1, 1, 40, sizes)) is None
    assert split_record(sha256(b"")) is None
    assert split_record(b"") is None
