"""Makes another model from a GGUF file: its matrices are written in another format.

The testnet's cheats serve such models, and recipes name them. The source may be quantised already. Then the result is a
quantisation of a quantisation.
"""

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import formats
from p2pverify.engine.gguf.formats import Blocks, Format, Rows, numbers
from p2pverify.engine.gguf.reader import FileHead, Tensor, read_head
from p2pverify.engine.gguf.weights import Progress
from p2pverify.engine.gguf.writer import NewTensor, read_tensor, write_gguf

BLOCK = 32
FILE_TYPE = "general.file_type"
EMBEDDING = "token_embd.weight"


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


#: The formats of the cheats, and those that an audit of a server tries.
FORMATS: dict[str, Format] = {
    **{name: formats.FORMATS[name] for name in ("q8_0", "q5_0", "q4_0")},
    "q3": Format(GGMLQuantizationType.Q4_0, 2, three_bits),
}


def requantise(source: Path, target: Path, name: str, progress: Progress | None = None) -> None:
    """Write `source` to `target` with its matrices in a format: one of FORMATS here or in `formats`.

    The target appears complete or not at all. The embedding is not changed, as in llama.cpp's own tool. Raises
    WeightsError if the source is not a GGUF file or has a matrix that the format cannot hold, ValueError for an
    unknown format.
    """
    known = formats.FORMATS | FORMATS
    if name not in known:
        raise ValueError(f"no quantisation is called {name!r}: there are {', '.join(known)}")
    _rewrite(source, target, known[name], _is_matrix, progress)


def convert(source: Path, target: Path, name: str, progress: Progress | None = None) -> None:
    """Write `source` to `target` with its matrices, and the embedding, in one of the formats of `formats`.

    The target appears complete or not at all. Raises WeightsError if the source is not a GGUF file or has a number that
    the format cannot hold, ValueError for an unknown format.
    """
    if name not in formats.FORMATS:
        raise ValueError(f"no format is called {name!r}: there are {', '.join(formats.FORMATS)}")
    _rewrite(source, target, formats.FORMATS[name], has_rows, progress)


def check_rows(head: FileHead, name: str) -> None:
    """Raises WeightsError if the format `name` cannot hold a matrix of the model, ValueError for an unknown format."""
    if name not in FORMATS:
        raise ValueError(f"no quantisation is called {name!r}: there are {', '.join(FORMATS)}")
    for tensor in head.tensors:
        if _is_matrix(tensor):
            FORMATS[name].place(tensor.name, tensor.dimensions)


def has_rows(tensor: Tensor) -> bool:
    """Whether a tensor has two dimensions or more."""
    return len(tensor.dimensions) > 1


def _is_matrix(tensor: Tensor) -> bool:
    return has_rows(tensor) and tensor.name != EMBEDDING


def _rewrite(
    source: Path, target: Path, form: Format, is_changed: Callable[[Tensor], bool], progress: Progress | None
) -> None:
    head = read_head(source)
    places = [
        form.place(tensor.name, tensor.dimensions)
        if is_changed(tensor)
        else NewTensor(tensor.name, tensor.dimensions, tensor.kind, tensor.size)
        for tensor in head.tensors
    ]

    def content(data: mmap.mmap, number: int, tensor: Tensor) -> bytes:
        if progress is not None:
            progress("writing tensors", number, len(head.tensors))
        raw = read_tensor(data, head, tensor)
        if not is_changed(tensor):
            return raw
        return form.bytes_of(tensor.name, numbers(raw, tensor.name, tensor.kind, tensor.dimensions))

    try:
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            contents = (content(data, number, tensor) for number, tensor in enumerate(head.tensors))
            write_gguf(target, head, places, contents, {FILE_TYPE: form.file_type})
    except OSError as error:
        raise WeightsError(f"cannot read {source}: {error}") from None
