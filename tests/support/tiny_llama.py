"""A random model of the llama architecture, small enough for thousands of tokens a second, and its reference.

The reference dequantises the same file with the `gguf` library and computes in plain float64. Its numbers are close,
but their bits are not equal.
"""

from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tiny:
    """Sizes and quantisation; `changes` overrides entries of the metadata."""

    width: int = 64
    heads: int = 4
    key_heads: int = 2
    hidden: int = 96
    layers: int = 2
    vocab: int = 160
    context: int = 256
    kind: Kind = Kind.Q4_1
    embedding_kind: Kind = Kind.Q8_0
    tied: bool = True
    scale: float = 0.4
    architecture: str = "llama"
    changes: dict[str, int | float] = field(default_factory=dict)


def write(path: Path, tiny: Tiny) -> Path:
    """Write the model. Equal `tiny` give equal files."""
    writer = gguf.GGUFWriter(path, tiny.architecture)
    head_width = tiny.width // tiny.heads
    numbers: dict[str, int | float] = {
        "embedding_length": tiny.width,
        "attention.head_count": tiny.heads,
        "attention.head_count_kv": tiny.key_heads,
        "block_count": tiny.layers,
        "context_length": tiny.context,
        "rope.dimension_count": head_width,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10_000.0,
        **tiny.changes,
    }
    for key, value in numbers.items():
        if isinstance(value, int):
            writer.add_uint32(f"{tiny.architecture}.{key}", value)
        else:
            writer.add_float32(f"{tiny.architecture}.{key}", value)
    rng = np.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int, kind: Kind) -> None:
        entries = rng.normal(size=(rows, columns)).astype(np.float32) * tiny.scale
        if kind == Kind.F16:
            writer.add_tensor(name, entries.astype(np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(entries, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, rng.uniform(0.5, 1.5, tiny.width).astype(np.float32))

    keys = tiny.key_heads * head_width
    matrix("token_embd.weight", tiny.vocab, tiny.width, tiny.embedding_kind)
    for number in range(tiny.layers):
        prefix = f"blk.{number}"
        norm(f"{prefix}.attn_norm.weight")
        norm(f"{prefix}.ffn_norm.weight")
        matrix(f"{prefix}.attn_q.weight", tiny.width, tiny.width, tiny.kind)
        matrix(f"{prefix}.attn_k.weight", keys, tiny.width, tiny.kind)
        matrix(f"{prefix}.attn_v.weight", keys, tiny.width, tiny.kind)
        matrix(f"{prefix}.attn_output.weight", tiny.width, tiny.width, tiny.kind)
        matrix(f"{prefix}.ffn_gate.weight", tiny.hidden, tiny.width, tiny.kind)
        matrix(f"{prefix}.ffn_up.weight", tiny.hidden, tiny.width, tiny.kind)
        matrix(f"{prefix}.ffn_down.weight", tiny.width, tiny.hidden, tiny.kind)
    norm("output_norm.weight")
    if not tiny.tied:
        matrix("output.weight", tiny.vocab, tiny.width, tiny.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def reference(path: Path, tiny: Tiny, tokens: list[int]) -> Floats:
    """Logits (tokens, vocab) after each token."""
    entries = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }
    head_width = tiny.width // tiny.heads
    count = len(tokens)

    def norm(x: Floats, name: str) -> Floats:
        return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * entries[name]

    def heads(x: Floats) -> Floats:
        return x.reshape(count, -1, head_width).transpose(1, 0, 2)

    def rotate(x: Floats) -> Floats:
        turns = np.exp(1j * np.arange(count)[:, None] * 10_000.0 ** (-np.arange(head_width // 2) / (head_width // 2)))
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    x = entries["token_embd.weight"][tokens]
    for number in range(tiny.layers):
        prefix = f"blk.{number}"
        normed = norm(x, f"{prefix}.attn_norm.weight")
        query, key, value = (heads(normed @ entries[f"{prefix}.attn_{name}.weight"].T) for name in "qkv")
        key, value = (np.repeat(one, tiny.heads // tiny.key_heads, axis=0) for one in (rotate(key), value))
        scores = rotate(query) @ key.transpose(0, 2, 1) / np.sqrt(head_width)
        scores[:, np.triu(np.ones((count, count), bool), 1)] = -np.inf
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
        x = x + mixed.transpose(1, 0, 2).reshape(count, -1) @ entries[f"{prefix}.attn_output.weight"].T
        normed = norm(x, f"{prefix}.ffn_norm.weight")
        gate, up = (normed @ entries[f"{prefix}.ffn_{name}.weight"].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ entries[f"{prefix}.ffn_down.weight"].T
    output = entries.get("output.weight", entries["token_embd.weight"])
    return norm(x, "output_norm.weight") @ output.T
