"""Makes a cheaper model from a GGUF file, for the testnet's cheats: its matrices are quantised again.

The `gguf` library knows the block formats; only q3 is our own rounding. The source is quantised already, so the result
is a quantisation of a quantisation. A cheat that has no other file makes the same.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.reader import FileHead, Tensor, read_head
from p2pverify.engine.gguf.writer import NewTensor, read_tensor, write_gguf

Rows = NDArray[np.float32]
Blocks = NDArray[np.uint8]

BLOCK = 32
FILE_TYPE = "general.file_type"
EMBEDDING = "token_embd.weight"


@dataclass(frozen=True, slots=True)
class Format:
    """A quantisation: its ggml type, the GGUF number of its file type, and the function that turns rows into blocks."""

    kind: GGMLQuantizationType
    file_type: int
    quantise: Callable[[Rows], Blocks]


def three_bits(rows: Rows) -> Blocks:
    """Rows (n, multiple of 32) as Q4_0 blocks that use only eight of the sixteen levels.

    ggml has no plain 3-bit type: its Q3_K needs rows of a multiple of 256. So this is 3-bit rounding in a 4-bit
    container. It has the error of three bits with one scale for 32 weights, and the size of Q4_0.
    """
    blocks = rows.reshape(-1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = (extreme / -4).astype(np.float16)
    wide = scale.astype(np.float32)
    inverse = np.divide(1.0, wide, out=np.zeros_like(wide), where=wide != 0)
    levels = np.clip(np.rint(blocks * inverse), -4, 3).astype(np.int8) + 8
    nibbles = (levels[:, : BLOCK // 2] | levels[:, BLOCK // 2 :] << 4).view(np.uint8)
    packed = np.concatenate([scale.view(np.uint8), nibbles], axis=1)
    return packed.reshape(rows.shape[0], -1)


def _library(kind: GGMLQuantizationType) -> Callable[[Rows], Blocks]:
    def quantised(rows: Rows) -> Blocks:
        blocks: Blocks = quantize(rows, kind)
        return blocks

    return quantised


_TYPES = GGMLQuantizationType
FORMATS: dict[str, Format] = {
    "q8_0": Format(_TYPES.Q8_0, 7, _library(_TYPES.Q8_0)),
    "q5_0": Format(_TYPES.Q5_0, 8, _library(_TYPES.Q5_0)),
    "q4_0": Format(_TYPES.Q4_0, 2, _library(_TYPES.Q4_0)),
    "q3": Format(_TYPES.Q4_0, 2, three_bits),
}


def requantise(source: Path, target: Path, name: str) -> None:
    """Write `source` to `target` with its matrices in the format `name` of FORMATS.

    The target appears complete or not at all. The embedding is not changed, as in llama.cpp's own tool. Raises
    WeightsError if the source is not a GGUF file or has a matrix that the format cannot hold, ValueError for an
    unknown format.
    """
    head = read_head(source)
    check_rows(head, name)
    form = FORMATS[name]
    block, size = GGML_QUANT_SIZES[form.kind]
    places = []
    for tensor in head.tensors:
        if _is_matrix(tensor):
            width, count = tensor.dimensions
            places.append(NewTensor(tensor.name, tensor.dimensions, int(form.kind), count * width // block * size))
        else:
            places.append(NewTensor(tensor.name, tensor.dimensions, tensor.kind, tensor.size))
    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            contents = (_converted(data, head, tensor, form) for tensor in head.tensors)
            write_gguf(target, head, places, contents, {FILE_TYPE: form.file_type})
    except OSError as error:
        raise WeightsError(f"cannot read {source}: {error}") from None


def check_rows(head: FileHead, name: str) -> None:
    """Raises WeightsError if the format `name` cannot hold a matrix of the model, ValueError for an unknown format."""
    if name not in FORMATS:
        raise ValueError(f"no quantisation is called {name!r}: there are {', '.join(FORMATS)}")
    block, _ = GGML_QUANT_SIZES[FORMATS[name].kind]
    for tensor in head.tensors:
        if _is_matrix(tensor) and tensor.dimensions[0] % block:
            raise WeightsError(f"{tensor.name} has rows of {tensor.dimensions[0]}, which is not a multiple of {block}")


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.dimensions) == 2 and tensor.name != EMBEDDING


def _converted(data: mmap.mmap, head: FileHead, tensor: Tensor, form: Format) -> bytes:
    raw = read_tensor(data, head, tensor)
    if not _is_matrix(tensor):
        return raw
    kind = GGMLQuantizationType(tensor.kind)
    block, size = GGML_QUANT_SIZES[kind]
    width, count = tensor.dimensions
    stored = np.frombuffer(raw, np.uint8, count * width // block * size).reshape(count, -1)
    rows: Rows = dequantize(stored, kind).reshape(count, width).astype(np.float32)
    return form.quantise(rows).tobytes()
