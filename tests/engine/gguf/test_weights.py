"""Finding, checking and reading weights. Bad weights are refused with a reason."""

import contextlib
import importlib.util
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.prune import prune
from p2pverify.engine.gguf.reader import parse_head, read_head
from p2pverify.engine.registry import EngineOpening, open_engine


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def small_gguf() -> bytes:
    """A GGUF file with three layers of one 32-byte tensor each, and one tensor beside them."""
    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.file_type") + struct.pack("<II", 4, 3),
        text("llama.block_count") + struct.pack("<II", 4, 3),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text("<c>"),
        text("tokenizer.ggml.token_type") + struct.pack("<IIQ3i", 9, 5, 3, 1, 1, 3),
    ]
    names = ["blk.0.w.weight", "blk.1.w.weight", "out.weight", "blk.2.w.weight"]
    tensors = [text(name) + struct.pack("<IQIQ", 1, 8, 0, 32 * index) for index, name in enumerate(names)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries + tensors)
    return head + b"\0" * (-len(head) % 32) + b"".join(bytes([65 + index]) * 32 for index in range(4))


SMALL = small_gguf()


def test_check_counts_its_progress(tmp_path: Path) -> None:
    """Progress ends at the whole file, and the digest is the file's."""
    path = tmp_path / "w"
    path.write_bytes(b"x" * (weights.CHUNK_BYTES + 1))
    seen: list[tuple[str, int, int]] = []
    digest = weights.check(path, None, lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == [weights.CHUNK_BYTES, weights.CHUNK_BYTES + 1]
    assert {total for _, _, total in seen} == {weights.CHUNK_BYTES + 1}
    assert weights.check(path, digest) == digest


def test_bundled_weights_are_the_known_ones() -> None:
    """The wheel's file has the expected digest."""
    assert weights.check(weights.bundled(), weights.SHA256) == weights.SHA256


def test_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    """If one byte in the middle of the weights changes, the engine does not open."""
    path = tmp_path / "flipped.gguf"
    shutil.copyfile(weights.bundled(), path)
    with path.open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)[0]
        file.seek(50_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(WeightsError, match="not the expected ones"):
        open_engine("llama", EngineOpening(weights=path, expect_sha256=weights.SHA256))


def test_absent_weights_tell_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error names the command that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="uv sync"):
        weights.bundled()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is an error that names it."""
    with pytest.raises(WeightsError, match="nowhere"):
        open_engine("llama", EngineOpening(weights=tmp_path / "nowhere.gguf"))


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    """A file of another kind does not reach llama.cpp."""
    path = tmp_path / "readme.gguf"
    path.write_bytes(b"hello, this is not a model")
    with pytest.raises(WeightsError, match="not a GGUF file"):
        open_engine("llama", EngineOpening(weights=path))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """An empty file cannot be mapped, and is an error like any other."""
    path = tmp_path / "empty.gguf"
    path.touch()
    with pytest.raises(WeightsError):
        read_head(path)


def test_head_of_a_small_file() -> None:
    """Scalars, token types and tensor sizes are read as they were written."""
    head = parse_head(SMALL)
    assert head.quantisation == "Q4_1"
    assert head.number("llama.block_count") == 3
    assert head.special_tokens() == (2,)
    assert [tensor.size for tensor in head.tensors] == [32] * 4


def test_tokenizer_digest_covers_the_tokens() -> None:
    """Another token gives another digest; another layer count gives the same."""
    same = SMALL.replace(struct.pack("<II", 4, 3) + text("tokenizer"), struct.pack("<II", 4, 2) + text("tokenizer"))
    other = SMALL.replace(text("<c>"), text("<d>"))
    assert parse_head(same).tokenizer_sha256() == parse_head(SMALL).tokenizer_sha256()
    assert parse_head(other).tokenizer_sha256() != parse_head(SMALL).tokenizer_sha256()


@pytest.mark.parametrize("size", range(0, len(SMALL) - 96, 7))
def test_a_truncated_file_is_refused(size: int) -> None:
    """A file that ends anywhere before its last tensor begins is refused."""
    with pytest.raises(WeightsError):
        parse_head(SMALL[:size])


@given(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_heads_raise_nothing_else(at: int, patch: bytes) -> None:
    """Any bytes parse or raise WeightsError."""
    damaged = SMALL[:at] + patch + SMALL[at + len(patch) :]
    with contextlib.suppress(WeightsError):
        head = parse_head(damaged)
        assert all(tensor.size > 0 for tensor in head.tensors)
        head.special_tokens()
        head.tokenizer_sha256()
        assert head.quantisation


def test_prune_renumbers_what_is_left(tmp_path: Path) -> None:
    """Without layer 1, layer 2 becomes layer 1 with its own bytes, and the count is two."""
    source, target = tmp_path / "whole.gguf", tmp_path / "pruned.gguf"
    source.write_bytes(SMALL)
    prune(source, target, {1})
    data = target.read_bytes()
    head = parse_head(data)
    assert head.number("llama.block_count") == 2
    content = {tensor.name: data[head.data_start + tensor.offset :][:32] for tensor in head.tensors}
    assert content == {"blk.0.w.weight": b"A" * 32, "out.weight": b"C" * 32, "blk.1.w.weight": b"D" * 32}
    assert head.tokenizer_sha256() == parse_head(SMALL).tokenizer_sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pruned.gguf", "whole.gguf"]


@pytest.mark.parametrize("layers", [{3}, {0, 1, 2}])
def test_prune_refuses_layers_that_cannot_go(tmp_path: Path, layers: set[int]) -> None:
    """A layer that does not exist cannot be left out, and neither can all layers."""
    source = tmp_path / "whole.gguf"
    source.write_bytes(SMALL)
    with pytest.raises(WeightsError, match="cannot leave out"):
        prune(source, tmp_path / "pruned.gguf", layers)
