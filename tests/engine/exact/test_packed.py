"""The file of packed weights is shared, checked at every opening, and written again if it is damaged."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from p2pverify.engine.exact import loader, packed
from p2pverify.engine.exact.blocks import Blocks
from p2pverify.engine.exact.linear import Linear, pack
from p2pverify.engine.exact.model import Model
from p2pverify.engine.gguf.reader import read_head
from tests.support.tiny_model import Tiny, write

DIGEST = bytes(32)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.gguf", Tiny())


def load(path: Path, cache: Path, stages: list[str] | None = None) -> bytes:
    """The loaded model's logits for some tokens."""
    note = None if stages is None else lambda stage, done, total: stages.append(stage)
    model = Model(loader.load(path, read_head(path), DIGEST, cache, note), 256)
    return b"".join(row.tobytes() for row in model.logits(model.forward([3, 1, 4, 1, 5], 0)))


def only_file(cache: Path) -> Path:
    (found,) = cache.glob("*.packed")
    return found


def test_the_second_time_reads_what_the_first_wrote(weights: Path, tmp_path: Path) -> None:
    """Packing happens once, and the file gives equal logits."""
    first: list[str] = []
    second: list[str] = []
    assert load(weights, tmp_path / "cache", first) == load(weights, tmp_path / "cache", second)
    assert set(first) == {"packing weights", "reading packed weights"}
    assert set(second) == {"reading packed weights"}
    assert only_file(tmp_path / "cache").name == f"{DIGEST.hex()}-{loader.FORMAT}.packed"


def spoil(data: bytes, how: str) -> bytes:
    match how:
        case "flipped":
            return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
        case "cut":
            return data[: len(data) // 2]
        case "empty":
            return b""
        case "short":
            return data[:20]
        case _:
            return bytes(len(data))


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "short", "zeroes"])
def test_a_spoiled_file_is_written_again(how: str, weights: Path, tmp_path: Path) -> None:
    """One flipped bit is found, and the weights are packed again."""
    cache = tmp_path / "cache"
    right = load(weights, cache)
    whole = only_file(cache).read_bytes()
    only_file(cache).write_bytes(spoil(whole, how))
    stages: list[str] = []
    assert load(weights, cache, stages) == right
    assert "packing weights" in stages
    assert only_file(cache).read_bytes() == whole


def test_without_a_cache_folder_the_weights_stay_in_memory(weights: Path, tmp_path: Path) -> None:
    """The engine also works if the folder cannot be made."""
    (tmp_path / "file").write_bytes(b"")
    assert load(weights, tmp_path / "file" / "cache") == load(weights, tmp_path / "cache")


def matrix() -> Linear:
    return pack([Blocks(np.ones((4, 2, 32), np.int8), np.ones((4, 2)), None, 8)])


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The file appears whole or not at all, and an earlier file stays."""
    path = tmp_path / "one.packed"
    packed.write(path, [("first", matrix())])

    def failing() -> Iterator[tuple[str, Linear]]:
        yield "second", matrix()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        packed.write(path, failing())
    assert [one.name for one in tmp_path.iterdir()] == ["one.packed"]
    found = packed.read(path, lambda size: None)
    assert found is not None
    assert list(found) == ["first"]
    assert np.array_equal(found["first"].numbers, matrix().numbers)
    assert found["first"].activation_max == matrix().activation_max


@pytest.mark.parametrize("index", [b"[]", b"{", b'{"a": {}}', b'{"a": {"numbers": [0, 99999999]}}', b'{"a": 3}'])
def test_an_index_that_does_not_fit_counts_as_absent(index: bytes, tmp_path: Path) -> None:
    """A valid file with another index counts as absent."""
    path = tmp_path / "one.packed"
    body = bytes(64) + index + len(index).to_bytes(8, "little")
    path.write_bytes(body + hashlib.sha256(body).digest())
    assert packed.read(path, lambda size: None) is None
