"""The cache of decoders: it gives equal results, is bounded, and holds no errors."""

import pytest

from p2pverify.core.encoding import decode_once
from p2pverify.core.encoding.canon import encode
from p2pverify.core.encoding.decode_once import REMEMBERED_BYTES_MAX, remembered
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.cut import decode_cut_signature


def test_small_payloads_are_read_once_and_large_ones_each_time() -> None:
    """The newest small payloads are cached. A large payload is never cached."""
    read: list[bytes] = []

    @remembered(2)
    def size(payload: bytes, scale: int) -> int:
        read.append(payload)
        return scale * len(payload)

    small, other, third = b"a", b"b", b"c"
    large = bytes(REMEMBERED_BYTES_MAX + 1)
    assert [size(small, 3), size(small, 3), size(small, 4), size(bytes(REMEMBERED_BYTES_MAX), 1)] == [3, 3, 4, 4096]
    assert read == [small, small, bytes(REMEMBERED_BYTES_MAX)]
    read.clear()
    assert [size(payload, 1) for payload in (other, third, small, small, large, large)] == [1, 1, 1, 1, 4097, 4097]
    assert read == [other, third, small, large, large]
    read.clear()
    decode_once.forget()
    assert size(small, 1) == 1
    assert read == [small]


def test_an_error_is_found_each_time() -> None:
    """A payload that does not decode fails each time. A payload that decodes gives the same value."""
    for _ in range(2):
        with pytest.raises(DecodeError, match="cut: not 32 bytes"):
            decode_cut_signature(encode([bytes(31)]))
    assert decode_cut_signature(encode([bytes(32)])) is decode_cut_signature(encode([bytes(32)]))
