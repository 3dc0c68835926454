"""Adapters and merged files: integers, and therefore the same bytes on every machine. No PyTorch is needed."""

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.formats import numbers
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.lora.adapter import (
    ADAPTER_BYTES_MAX,
    MAGIC,
    NUMBER_MAX,
    ONE_Q24,
    Adapter,
    AdapterShape,
    decode_adapter,
    initial,
    shape_of,
)
from p2pverify.engine.lora.merge import merge_adapter
from tests.support.tiny_model import Tiny, write

FILE = b"\x07" * 32
#: Of the tiny model: 2 layers, a width of 64, queries of 64 and values of 32.
SHAPE = AdapterShape(4, 2, 64, 64, 32)
FIRST = "d1d3c964a8ae"
MERGED = "2a1022345fd2"


def drawn(key: int, low: int, high: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=key)).integers(low, high, SHAPE.count)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tiny") / "tiny.gguf", Tiny())


def test_an_adapter_is_read_as_it_was_written() -> None:
    """Its digest is that of its bytes, and an update moves its numbers within their bounds."""
    first = initial(FILE, SHAPE)
    moved = first.moved(drawn(1, -(2**27), 2**27)).moved(drawn(2, -(2**27), 2**27))
    assert np.abs(moved.weights).max() == NUMBER_MAX
    for each in (first, moved):
        found = decode_adapter(each.encode())
        assert (found.file, found.shape, found.encode()) == (FILE, SHAPE, each.encode())
        assert found.digest == sha256(each.encode())


def test_the_first_adapter_changes_nothing() -> None:
    """Each B is 0, and each A is drawn from the file's digest between ±1 / sqrt(inputs). Its bytes are pinned."""
    first = initial(FILE, SHAPE)
    for _, a, b in first.matrices():
        assert not b.any()
        assert np.abs(a).max() <= ONE_Q24 // 8
        assert a.std() > ONE_Q24 // 8 / 2
        assert not first.change(a, b).any()
    assert first.digest.hex()[:12] == FIRST
    assert initial(b"\x08" * 32, SHAPE).digest != first.digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "not an adapter"),
        (lambda data: data[: len(MAGIC) + 40], "not an adapter"),
        (lambda data: data[:-4], "not as many"),
        (lambda data: data + bytes(4), "not as many"),
        (lambda data: data[:-4] + b"\x80\0\0\0", "beyond"),
        (lambda data: data.replace(FILE + b"\0\x04", FILE + b"\0\x41"), "not as many"),
        (lambda data: data.replace(FILE + b"\0\x04", FILE + b"\0\0"), "not as many"),
        (lambda data: data + bytes(ADAPTER_BYTES_MAX), "too long"),
    ],
)
def test_faults_of_an_adapter(change, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_adapter(change(initial(FILE, SHAPE).encode()))


def test_the_change_of_a_matrix_is_exact() -> None:
    """B A in Python's integers, with the greatest numbers too."""
    shape = AdapterShape(64, 1, 8, 8, 4)
    greatest = Adapter(FILE, shape, np.full(shape.count, -NUMBER_MAX))
    (_, a, b), _ = greatest.matrices()
    assert greatest.change(a, b).tolist() == [[64 * NUMBER_MAX**2] * 8] * 8
    some = Adapter(FILE, SHAPE, drawn(3, -(2**24), 2**24))
    for _, a, b in some.matrices():
        assert some.change(a, b).tolist() == (b.astype(object) @ a.astype(object)).tolist()


def test_the_shape_of_a_file(tiny: Path, tmp_path: Path) -> None:
    head = read_head(tiny)
    assert shape_of(head, 4) == SHAPE
    assert SHAPE.count == 2 * 4 * (2 * 64 + 64 + 32)
    for wrong in (0, 65):
        with pytest.raises(WeightsError, match="rank"):
            shape_of(head, wrong)
    other = write(tmp_path / "qwen2.gguf", Tiny(architecture="qwen2"))
    with pytest.raises(WeightsError, match="architecture llama"):
        shape_of(read_head(other), 4)
    few = write(tmp_path / "few.gguf", Tiny(changes={"block_count": 3}))
    with pytest.raises(WeightsError, match="several sizes"):
        shape_of(read_head(few), 4)


def read(path: Path, name: str) -> tuple[np.ndarray, int]:
    head = read_head(path)
    (tensor,) = (each for each in head.tensors if each.name == name)
    start = head.data_start + tensor.offset
    raw = path.read_bytes()[start : start + tensor.size]
    return numbers(raw, name, tensor.kind, tensor.dimensions), tensor.kind


def test_a_merged_file(tiny: Path, tmp_path: Path) -> None:
    """Changed matrices are Q8_0 of the sum, and all else keeps its bytes. The bytes of the file are pinned."""
    adapter = initial(FILE, SHAPE).moved(drawn(4, -(2**22), 2**22))
    weights = adapter.weights.copy()
    weights[SHAPE.count // 2 :] = initial(FILE, SHAPE).weights[SHAPE.count // 2 :]  # the second layer is as it was
    adapter = replace(adapter, weights=weights)
    target = tmp_path / "merged.gguf"
    merge_adapter(tiny, adapter, target)
    for name, a, b in adapter.matrices():
        base, kind = read(tiny, name)
        found, merged_kind = read(target, name)
        if name.startswith("blk.1."):
            assert merged_kind == kind
            assert found.tobytes() == base.tobytes()
            continue
        wanted = base + 2 * (b / ONE_Q24) @ (a / ONE_Q24)
        assert merged_kind == gguf.GGMLQuantizationType.Q8_0
        assert np.abs(found - wanted).max() <= np.abs(wanted).max() / 250
        assert np.abs(found - base).max() > 0.01
    for name in ("token_embd.weight", "blk.0.attn_k.weight", "blk.1.ffn_norm.weight"):
        assert read(target, name)[0].tobytes() == read(tiny, name)[0].tobytes()
    assert [*read_head(target).entries] == [*read_head(tiny).entries]
    assert sha256(target.read_bytes()).hex()[:12] == MERGED


def test_files_that_do_not_fit_an_adapter(tiny: Path, tmp_path: Path) -> None:
    for shape in (replace(SHAPE, layers=3), replace(SHAPE, queries=32), replace(SHAPE, inputs=32)):
        adapter = Adapter(FILE, shape, np.ones(shape.count, np.int64))
        with pytest.raises(WeightsError):
            merge_adapter(tiny, adapter, tmp_path / "merged.gguf")
        assert not list(tmp_path.glob("merged*"))
    with pytest.raises(WeightsError, match="cannot read"):
        merge_adapter(tmp_path / "none", initial(FILE, SHAPE), tmp_path / "merged.gguf")
