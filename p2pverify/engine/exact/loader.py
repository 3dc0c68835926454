"""Loads a GGUF file as the weights that `model` runs: shape, norms and matrices. Matrices are packed on disk."""

from collections.abc import Iterator
from itertools import count, groupby, takewhile
from pathlib import Path

import numpy as np
import platformdirs

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import attention, packed
from p2pverify.engine.exact.blocks import Floats
from p2pverify.engine.exact.linear import Linear, pack
from p2pverify.engine.exact.model import Joined, Layer, Weights
from p2pverify.engine.exact.shape import Shape, read_shape
from p2pverify.engine.exact.tensors import TensorFile
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.gguf.reader import FileHead

FORMAT = 2
EMBEDDING, OUTPUT, OUTPUT_NORM, ROPE_FACTORS = (
    f"{name}.weight" for name in ("token_embd", "output", "output_norm", "rope_freqs")
)
# Larger models are packed with 1 byte a weight instead of 4. They are a quarter slower in prefill.
FLOAT_WEIGHTS_MAX = 200_000_000
FIXED_BITS_MIN = 8

Matrices = dict[str, Linear]


def default_cache() -> Path:
    """The folder for packed weights.

    They need 4.5 bytes per weight up to FLOAT_WEIGHTS_MAX. Beyond, it is 1.25 to 1.5, 2 in Q2_K and 2.5 in floats.
    """
    return platformdirs.user_cache_path("p2pverify") / "exact"


def load(
    path: Path, head: FileHead, digest: bytes, cache: Path, progress: model_weights.Progress | None = None
) -> Weights:
    """The weights of a GGUF file with this head and SHA-256 (32 B).

    If the cache folder cannot be written, the packed weights stay in this process's memory. Raises WeightsError if this
    engine cannot run the weights.
    """
    file = TensorFile(path, head)
    shape = read_shape(head)
    _check_names(file, shape)
    matrices = _matrices(file, shape, cache / f"{digest.hex()}-{FORMAT}.packed", progress)
    layers = tuple(_layer(file, shape, matrices, number) for number in range(shape.layers))
    embedding = _joined(matrices, "embedding")
    slower = np.full(shape.head_width // 2, shape.rope_factor)
    if ROPE_FACTORS in file.tensors:
        slower *= file.vector(ROPE_FACTORS, len(slower))
    if slower.min() < 1:
        raise WeightsError(f"the exact engine knows no {ROPE_FACTORS} that speed up a rotation")
    return Weights(
        shape=shape,
        embedding=embedding[0],
        layers=layers,
        output_norm=file.vector(OUTPUT_NORM, shape.width),
        output=_joined(matrices, "output") or embedding,
        fixed_bits=_fixed_bits(shape, layers),
        slower=slower,
    )


def _layer(file: TensorFile, shape: Shape, matrices: Matrices, number: int) -> Layer:
    kind = shape.architecture

    def vector(name: str, size: int) -> Floats:
        return file.vector(f"blk.{number}.{name}", size)

    keys = shape.key_heads * shape.head_width
    sizes = {"attn_q.bias": shape.heads * shape.head_width, "attn_k.bias": keys, "attn_v.bias": keys}
    return Layer(
        attention_norm=vector("attn_norm.weight", shape.width),
        query_key_value=_joined(matrices, f"{number}.query_key_value"),
        bias=np.concatenate([vector(*one) for one in sizes.items()]) if kind.biases else None,
        query_norm=vector("attn_q_norm.weight", shape.head_width) if kind.head_norms else None,
        key_norm=vector("attn_k_norm.weight", shape.head_width) if kind.head_norms else None,
        attention_output=_joined(matrices, f"{number}.attention_output"),
        attention_post_norm=vector("post_attention_norm.weight", shape.width) if kind.post_norms else None,
        feed_forward_norm=vector("ffn_norm.weight", shape.width),
        gate_up=_joined(matrices, f"{number}.gate_up"),
        down=_joined(matrices, f"{number}.down"),
        feed_forward_post_norm=vector("post_ffw_norm.weight", shape.width) if kind.post_norms else None,
    )


def _check_names(file: TensorFile, shape: Shape) -> None:
    """Raises WeightsError if the file has a tensor that `model` would leave out."""
    kind = shape.architecture
    parts = [f"{name}.weight" for name in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm")]
    parts += [f"{name}.weight" for name in ("ffn_gate", "ffn_up", "ffn_down")]
    parts += [f"attn_{name}.bias" for name in "qkv"] * kind.biases
    parts += [f"attn_{name}_norm.weight" for name in "qk"] * kind.head_norms
    parts += ["post_attention_norm.weight", "post_ffw_norm.weight"] * kind.post_norms
    known = {EMBEDDING, OUTPUT, OUTPUT_NORM, ROPE_FACTORS}
    known |= {f"blk.{number}.{part}" for number in range(shape.layers) for part in parts}
    unknown = sorted(set(file.tensors) - known)
    if unknown:
        raise WeightsError(f"the exact engine does not know what to do with the tensor {unknown[0]} in this model")


def _fixed_bits(shape: Shape, layers: tuple[Layer, ...]) -> int:
    """The unit of queries, keys and values, coarser than usual if their biases are large. Raises WeightsError."""
    bias = max((float(np.abs(layer.bias).max()) for layer in layers if layer.bias is not None), default=0.0)
    limit = attention.limit(shape.head_width)
    bits = attention.FIXED_BITS
    while 4 * bias * 2.0**bits > limit:
        bits -= 1
    if bits < FIXED_BITS_MIN:
        raise WeightsError(f"the exact engine does not run models with a bias of {bias:.0f}")
    return bits


def _joined(matrices: Matrices, name: str) -> Joined:
    names = takewhile(matrices.__contains__, (f"{name}/{number}" for number in count()))
    return tuple(map(matrices.__getitem__, names))


def _matrices(file: TensorFile, shape: Shape, path: Path, progress: model_weights.Progress | None) -> Matrices:
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

    def report(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(stage, done, max(done, path.stat().st_size))

    return report


def _packing(file: TensorFile, shape: Shape, progress: model_weights.Progress | None) -> Iterator[tuple[str, Linear]]:
    """Pack one matrix after the other, in the order of use: names and matrices."""
    vocab_tokens, _ = file.shape(EMBEDDING)
    heads, keys = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    weights = sum(rows * columns for rows, columns in map(file.shape, _matrix_names(file)))
    small = weights > FLOAT_WEIGHTS_MAX

    def joined(name: str, tensors: list[str], inputs: int, outputs: list[int]) -> Iterator[tuple[str, Linear]]:
        """Neighbours of equal form become one matrix."""
        for tensor, expected in zip(tensors, outputs, strict=True):
            if file.shape(tensor) != (expected, inputs):
                raise WeightsError(f"{tensor} in the GGUF file does not fit the model's sizes")
        runs = groupby(map(file.matrix, tensors), lambda one: one.form)
        for number, (_, run) in enumerate(runs):
            yield f"{name}/{number}", pack(list(run), small=small)

    yield from joined("embedding", [EMBEDDING], shape.width, [vocab_tokens])
    for number in range(shape.layers):
        if progress is not None:
            progress("packing weights", number, shape.layers)
        query, key, value, attended, gate, up, down = (
            f"blk.{number}.{name}.weight"
            for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        )
        hidden = file.shape(down)[1]
        yield from joined(f"{number}.query_key_value", [query, key, value], shape.width, [heads, keys, keys])
        yield from joined(f"{number}.attention_output", [attended], heads, [shape.width])
        yield from joined(f"{number}.gate_up", [gate, up], shape.width, [hidden, hidden])
        yield from joined(f"{number}.down", [down], hidden, [shape.width])
    if OUTPUT in file.tensors:
        yield from joined("output", [OUTPUT], shape.width, [vocab_tokens])
    if progress is not None:
        progress("packing weights", shape.layers, shape.layers)


def _matrix_names(file: TensorFile) -> Iterator[str]:
    return (name for name, tensor in file.tensors.items() if len(tensor.dimensions) == 2)
