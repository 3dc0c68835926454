"""A reference for models of every architecture of the exact engine, in plain float64 on dequantised weights.

Its numbers are close to those of the exact engine, but their bits are not equal.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Reference:
    """A GGUF file, dequantised."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._fields = {name: field.contents() for name, field in reader.fields.items() if len(field.types) == 1}
        self._name = str(self._fields["general.architecture"])
        self._tensors = {
            tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
            for tensor in reader.tensors
        }
        self._heads = self._field("attention.head_count")
        self._head = self._field("attention.key_length", self._field("embedding_length") // self._heads)
        self._epsilon = self._field("attention.layer_norm_rms_epsilon")
        self._window = self._field("attention.sliding_window", 0)

    def logits(self, tokens: list[int]) -> Floats:
        """Logits (tokens, vocab) after each token."""
        x = self._tensors["token_embd.weight"][tokens]
        if self._name == "gemma3":
            x = x * np.sqrt(x.shape[1])
        for number in range(self._field("block_count")):
            x = x + self._post(self._attention(x, number), f"blk.{number}.post_attention_norm.weight")
            normed = self._norm(x, f"blk.{number}.ffn_norm.weight")
            gate, up = (self._linear(normed, f"blk.{number}.ffn_{name}") for name in ("gate", "up"))
            if self._name == "gemma3":
                gate = gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3))) / 2
            else:
                gate = gate / (1 + np.exp(-gate))
            x = x + self._post(self._linear(gate * up, f"blk.{number}.ffn_down"), f"blk.{number}.post_ffw_norm.weight")
        output = "output" if "output.weight" in self._tensors else "token_embd"
        return self._linear(self._norm(x, "output_norm.weight"), output)

    def _attention(self, x: Floats, number: int) -> Floats:
        count, prefix = len(x), f"blk.{number}.attn_"
        local = self._window > 0 and (number + 1) % 6 != 0
        normed = self._norm(x, f"{prefix}norm.weight")
        query, key, value = (
            self._linear(normed, f"{prefix}{name}").reshape(count, -1, self._head).transpose(1, 0, 2) for name in "qkv"
        )
        query, key = self._post(query, f"{prefix}q_norm.weight"), self._post(key, f"{prefix}k_norm.weight")
        query, key = self._rotate(query, local=local), self._rotate(key, local=local)
        key, value = (np.repeat(one, self._heads // len(one), axis=0) for one in (key, value))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(self._head)
        behind = np.arange(count)[:, None] - np.arange(count)
        scores[:, (behind < 0) | (local & (behind >= self._window))] = -np.inf
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
        return self._linear(mixed.transpose(1, 0, 2).reshape(count, -1), f"{prefix}output")

    def _rotate(self, x: Floats, *, local: bool) -> Floats:
        half = self._head // 2
        base = 10_000.0 if local else self._field("rope.freq_base")
        angles = base ** (-np.arange(half) / half)
        if not local:
            angles = angles / self._tensors.get("rope_freqs.weight", 1.0) / self._field("rope.scaling.factor", 1.0)
        turns = np.exp(1j * np.arange(x.shape[1])[:, None] * angles)
        if self._name == "llama":
            turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns
            return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
        turned = (x[..., :half] + 1j * x[..., half:]) * turns
        return np.concatenate([turned.real, turned.imag], axis=-1)

    def _norm(self, x: Floats, name: str) -> Floats:
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self._epsilon) * self._tensors[name]

    def _post(self, x: Floats, name: str) -> Floats:
        return self._norm(x, name) if name in self._tensors else x

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._tensors[f"{name}.weight"].T + self._tensors.get(f"{name}.bias", 0.0)

    def _field(self, key: str, default: Any = None) -> Any:
        return self._fields.get(f"{self._name}.{key}", default)
