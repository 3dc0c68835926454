"""File entries: which paths and numbers a release may have."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.history.files import (
    FILE_BYTES_MAX,
    FILE_PATH_BYTES_MAX,
    FileEntry,
    check_path,
    read_file_entry,
)
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError

ENTRY = FileEntry("models/a b.gguf", 98_000_000, b"\1" * 32, b"\2" * 32)


def test_round_trip() -> None:
    assert read_file_entry(decode(encode(ENTRY.to_value()), size_max=1000)) == ENTRY


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a/.", "a\\b", "a\0b", "a\nb", "\x7f", "é", "x" * 257],
)
def test_bad_paths(path: str) -> None:
    with pytest.raises(DecodeError, match="path: "):
        read_file_entry([path, 1, b"\1" * 32, b"\2" * 32])


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=20) | st.text(alphabet="./a\\", max_size=12))
def test_an_accepted_path_stays_below_its_folder(path: str) -> None:
    """As the file system resolves it."""
    try:
        check_path(path)
    except DecodeError:
        return
    pure = PurePosixPath("/folder") / path
    assert pure.is_relative_to("/folder")
    assert pure != PurePosixPath("/folder")
    assert ".." not in pure.parts
    assert path.isascii()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["a", FILE_BYTES_MAX + 1, b"\1" * 32, b"\2" * 32], "size: above"),
        (["a", -1, b"\1" * 32, b"\2" * 32], "size: not an unsigned integer"),
        (["a", 1, b"\1" * 31, b"\2" * 32], "sha256: not 32 bytes"),
        (["a", 1, b"\1" * 32, "x"], "chunks: not a byte string"),
        (["a", 1, b"\1" * 32], "file: not 4 items"),
        ([b"a", 1, b"\1" * 32, b"\2" * 32], "path: not text"),
    ],
)
def test_bad_entries(value: list[object], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_file_entry(value)  # type: ignore[arg-type]


def test_the_longest_path() -> None:
    longest = "x" * FILE_PATH_BYTES_MAX
    assert check_path(longest) == longest
