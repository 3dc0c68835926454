"""Random models of every architecture of the exact engine, small enough for thousands of tokens a second."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

# The half precision floats of K-quants, which `gguf` does not write: their places in a block of 256 weights, and the
# spread of a weight in units of the first one. The second one is the first one times the middle of the numbers.
FLOATS: dict[Kind, tuple[int, float, float]] = {
    Kind.Q2_K: (80, 12, 1.5),
    Kind.Q3_K: (108, 42, 0),
    Kind.Q4_K: (0, 150, 7.5),
    Kind.Q5_K: (0, 300, 15.5),
    Kind.Q6_K: (208, 1300, 0),
}


@dataclass(frozen=True)
class Tiny:
    """Sizes and quantisation; `changes` overrides entries of the metadata, `extra` names superfluous vectors.

    A `head_width` of 0 is the width divided by the number of heads. `values_kind` is the quantisation of attn_v.
    """

    architecture: str = "llama"
    width: int = 64
    heads: int = 4
    key_heads: int = 2
    head_width: int = 0
    hidden: int = 96
    layers: int = 2
    vocab: int = 160
    context: int = 256
    kind: Kind = Kind.Q4_1
    values_kind: Kind | None = None
    embedding_kind: Kind = Kind.Q8_0
    tied: bool = True
    scale: float = 0.4
    bias: float = 1.0
    window: int = 0
    rope_factors: bool = False
    extra: tuple[str, ...] = ()
    changes: dict[str, int | float | str | list[int]] = field(default_factory=dict)


def write(path: Path, tiny: Tiny) -> Path:
    """Write the model, without a vocabulary. Equal `tiny` give equal files."""
    writer = gguf.GGUFWriter(path, tiny.architecture)
    head = tiny.head_width or tiny.width // tiny.heads
    _write_metadata(writer, tiny, head)
    rng = np.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int, kind: Kind) -> None:
        if kind in FLOATS:
            writer.add_tensor(name, random_blocks(rng, rows, columns, kind, tiny.scale), raw_dtype=kind)
            return
        entries = rng.normal(size=(rows, columns)).astype(np.float32) * tiny.scale
        if kind in {Kind.F16, Kind.F32}:
            writer.add_tensor(name, entries.astype(np.float16 if kind == Kind.F16 else np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(entries, kind), raw_dtype=kind)

    def vector(name: str, size: int, low: float = 0.5, high: float = 1.5) -> None:
        writer.add_tensor(name, rng.uniform(low, high, size).astype(np.float32))

    query, keys = tiny.heads * head, tiny.key_heads * head
    matrix("token_embd.weight", tiny.vocab, tiny.width, tiny.embedding_kind)
    for number in range(tiny.layers):
        prefix = f"blk.{number}"
        for name, size in _vectors(tiny, head):
            is_bias = name.endswith(".bias")
            vector(f"{prefix}.{name}", size, *((-tiny.bias, tiny.bias) if is_bias else ()))
        matrix(f"{prefix}.attn_q.weight", query, tiny.width, tiny.kind)
        matrix(f"{prefix}.attn_k.weight", keys, tiny.width, tiny.kind)
        matrix(f"{prefix}.attn_v.weight", keys, tiny.width, tiny.values_kind or tiny.kind)
        matrix(f"{prefix}.attn_output.weight", tiny.width, query, tiny.kind)
        matrix(f"{prefix}.ffn_gate.weight", tiny.hidden, tiny.width, tiny.kind)
        matrix(f"{prefix}.ffn_up.weight", tiny.hidden, tiny.width, tiny.kind)
        matrix(f"{prefix}.ffn_down.weight", tiny.width, tiny.hidden, tiny.kind)
    vector("output_norm.weight", tiny.width)
    if tiny.rope_factors:
        vector("rope_freqs.weight", head // 2, 1.0, 8.0)
    for name in tiny.extra:
        vector(name, tiny.width)
    if not tiny.tied:
        matrix("output.weight", tiny.vocab, tiny.width, tiny.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vectors(tiny: Tiny, head: int) -> Iterator[tuple[str, int]]:
    """Names and sizes of a layer's vectors."""
    yield from ((f"{name}.weight", tiny.width) for name in ("attn_norm", "ffn_norm"))
    if tiny.architecture == "gemma3":
        yield from ((f"{name}.weight", tiny.width) for name in ("post_attention_norm", "post_ffw_norm"))
    if tiny.architecture in {"gemma3", "qwen3"}:
        yield from ((f"attn_{name}_norm.weight", head) for name in "qk")
    if tiny.architecture == "qwen2":
        yield from (("attn_q.bias", tiny.heads * head), *((f"attn_{n}.bias", tiny.key_heads * head) for n in "kv"))


def _write_metadata(writer: gguf.GGUFWriter, tiny: Tiny, head: int) -> None:
    entries: dict[str, int | float | str | list[int]] = {
        "embedding_length": tiny.width,
        "feed_forward_length": tiny.hidden,
        "attention.head_count": tiny.heads,
        "attention.head_count_kv": tiny.key_heads,
        "block_count": tiny.layers,
        "context_length": tiny.context,
        "vocab_size": tiny.vocab,
        "rope.dimension_count": head,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10_000.0,
    }
    if tiny.head_width:
        entries |= {"attention.key_length": head, "attention.value_length": head}
    if tiny.window:
        entries |= {"attention.sliding_window": tiny.window, "rope.freq_base": 1_000_000.0}
    writer.add_string("tokenizer.ggml.model", "none")
    for key, value in {**entries, **tiny.changes}.items():
        name = f"{tiny.architecture}.{key}"
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        else:
            writer.add_float32(name, value)


def random_blocks(rng: np.random.Generator, rows: int, columns: int, kind: Kind, scale: float) -> np.ndarray:
    """Random blocks of a K-quant (rows, bytes), with weights of about the spread `scale`."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    at, spread, middle = FLOATS[kind]
    blocks = rng.integers(0, 256, (rows, columns // weights, size), np.uint8)
    first = (rng.uniform(0.5, 1.5, blocks.shape[:2]) * scale / spread).astype(np.float16)
    blocks[:, :, at : at + 2] = first[..., None].view(np.uint8)
    if middle:
        blocks[:, :, at + 2 : at + 4] = (first * np.float16(middle))[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)
