"""Loads a GGUF file as the weights that `model` runs: shape, norms and matrices. Matrices are packed on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import blocks, packed
from p2pverify.engine.exact.linear import Linear, pack
from p2pverify.engine.exact.model import CONTEXT_MAX, HEAD_MAX, WIDTH_MAX, Layer, Shape, Weights
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.gguf.reader import FileHead, Tensor

ARCHITECTURE = "llama"
FORMAT = 1
LAYERS_MAX = 1024
EMBEDDING, OUTPUT, OUTPUT_NORM = "token_embd.weight", "output.weight", "output_norm.weight"
DEFAULT_ROPE_BASE = 10_000.0


def default_cache() -> Path:
    """The folder for packed weights. They need 4 bytes per weight."""
    return platformdirs.user_cache_path("p2pverify") / "exact"


def load(
    path: Path, head: FileHead, digest: bytes, cache: Path, progress: model_weights.Progress | None = None
) -> Weights:
    """The weights of a GGUF file with this head and SHA-256 (32 B).

    If the cache folder cannot be written, the packed weights stay in this process's memory. Raises WeightsError if this
    engine cannot run the weights.
    """
    file = _File(path, head)
    shape = _shape(head)
    matrices = _matrices(file, shape, cache / f"{digest.hex()}-{FORMAT}.packed", progress)
    layers = tuple(
        Layer(
            attention_norm=file.vector(f"blk.{number}.attn_norm.weight", shape.width),
            query_key_value=matrices[f"{number}.query_key_value"],
            attention_output=matrices[f"{number}.attention_output"],
            feed_forward_norm=file.vector(f"blk.{number}.ffn_norm.weight", shape.width),
            gate_up=matrices[f"{number}.gate_up"],
            down=matrices[f"{number}.down"],
        )
        for number in range(shape.layers)
    )
    embedding = matrices["embedding"]
    return Weights(shape, embedding, layers, file.vector(OUTPUT_NORM, shape.width), matrices.get("output", embedding))


class _File:
    """The tensors of a GGUF file by name."""

    def __init__(self, path: Path, head: FileHead) -> None:
        self.tensors = {tensor.name: tensor for tensor in head.tensors}
        try:
            self._data = np.memmap(path, np.uint8, "r")[head.data_start :]
        except (OSError, ValueError) as error:
            raise WeightsError(f"cannot read {path}: {error}") from None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise WeightsError(f"the GGUF file lacks {name}")
        return self.tensors[name]

    def vector(self, name: str, size: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        found = blocks.vector(self[name], self._data)
        if found.size != size:
            raise WeightsError(f"{name} in the GGUF file has {found.size} numbers instead of {size}")
        return found

    def matrix(self, names: list[str], inputs: int, outputs: int) -> Linear:
        """One matrix from several matrices with the same inputs."""
        shapes = [blocks.shape(self[name]) for name in names]
        if any(columns != inputs for _, columns in shapes) or sum(rows for rows, _ in shapes) != outputs:
            raise WeightsError(f"{' and '.join(names)} in the GGUF file do not fit the model's sizes")
        return pack([blocks.read(self[name], self._data) for name in names])


def _shape(head: FileHead) -> Shape:
    """The model's sizes and constants. Raises WeightsError if `model` cannot run it, or not exactly."""
    architecture = head.text("general.architecture", "")
    if architecture != ARCHITECTURE:
        raise WeightsError(f"the exact engine runs models of the architecture {ARCHITECTURE}, not {architecture!r}")

    def number(key: str) -> int:
        return head.number(f"{ARCHITECTURE}.{key}")

    width, heads = number("embedding_length"), number("attention.head_count")
    head_width = width // heads if heads > 0 else 0
    if head.text(f"{ARCHITECTURE}.rope.scaling.type", "none") != "none":
        raise WeightsError("the exact engine knows no scaled rotary embedding")
    base_key = f"{ARCHITECTURE}.rope.freq_base"
    shape = Shape(
        layers=number("block_count"),
        width=width,
        heads=heads,
        key_heads=number("attention.head_count_kv"),
        head_width=head_width,
        context_tokens=min(CONTEXT_MAX, number("context_length")),
        epsilon=float(head.scalar(f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon")),
        rope_base=float(head.scalar(base_key)) if base_key in head.entries else DEFAULT_ROPE_BASE,
    )
    rotated = number("rope.dimension_count")
    fits = (
        0 < shape.layers <= LAYERS_MAX
        and 0 < width <= WIDTH_MAX
        and head_width * heads == width
        and 0 < head_width <= HEAD_MAX
        and head_width & (head_width - 1) == 0
        and rotated == head_width
        and 0 < shape.key_heads <= heads
        and heads % shape.key_heads == 0
        and shape.context_tokens > 0
        and shape.rope_base > 1
    )
    if not fits:
        raise WeightsError("the model has sizes that the exact engine does not run exactly")
    return shape


def _matrices(file: _File, shape: Shape, path: Path, progress: model_weights.Progress | None) -> dict[str, Linear]:
    """The packed matrices from the cache. If they are absent, one process packs them and the others wait."""
    counter = _counting("reading packed weights", path, progress)
    found = packed.read(path, counter)
    if found is not None:
        return found
    try:
        with packed.locked(path):
            found = packed.read(path, counter)
            if found is None:
                packed.write(path, _packing(file, shape, progress))
                found = packed.read(path, counter)
    except OSError:
        found = None
    return found if found is not None else dict(_packing(file, shape, progress))


def _counting(stage: str, path: Path, progress: model_weights.Progress | None) -> packed.Counter:
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(stage, done, max(done, path.stat().st_size))

    return count


def _packing(file: _File, shape: Shape, progress: model_weights.Progress | None) -> Iterator[tuple[str, Linear]]:
    """Pack one matrix after the other, in the order of use: names and matrices."""
    embedding = file[EMBEDDING]
    vocab_tokens = blocks.shape(embedding)[0]
    keys = shape.key_heads * shape.head_width
    yield "embedding", file.matrix([EMBEDDING], shape.width, vocab_tokens)
    for number in range(shape.layers):
        if progress is not None:
            progress("packing weights", number, shape.layers)
        prefix = f"blk.{number}"
        hidden = blocks.shape(file[f"{prefix}.ffn_down.weight"])[1]
        attention = [f"{prefix}.attn_{name}.weight" for name in "qkv"]
        feed_forward = [f"{prefix}.ffn_{name}.weight" for name in ("gate", "up")]
        yield f"{number}.query_key_value", file.matrix(attention, shape.width, shape.width + 2 * keys)
        yield f"{number}.attention_output", file.matrix([f"{prefix}.attn_output.weight"], shape.width, shape.width)
        yield f"{number}.gate_up", file.matrix(feed_forward, shape.width, 2 * hidden)
        yield f"{number}.down", file.matrix([f"{prefix}.ffn_down.weight"], hidden, shape.width)
    if OUTPUT in file.tensors:
        yield "output", file.matrix([OUTPUT], shape.width, vocab_tokens)
    if progress is not None:
        progress("packing weights", shape.layers, shape.layers)
