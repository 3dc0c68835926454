"""A language model of the architecture llama in PyTorch, with an adapter: its losses, and their gradients.

All numbers are 32-bit floats. Their bits belong to a class: PyTorch's version, the instructions that it uses on this
processor, and one thread. `tools` proves the class. PyTorch is an extra.
"""

import importlib
import mmap
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p2pverify.engine.errors import EngineUnavailable, WeightsError
from p2pverify.engine.exact.shape import read_shape
from p2pverify.engine.gguf.formats import numbers
from p2pverify.engine.gguf.reader import FileHead, read_head
from p2pverify.engine.gguf.writer import read_tensor
from p2pverify.engine.llama.engine import MACHINES
from p2pverify.engine.lora.adapter import ONE_Q24, QUERIES, SCALE, VALUES, Adapter
from p2pverify.engine.portable import rotations
from p2pverify.engine.tabular.numbers import MICRO, Ints

GET_IT = "run `pip install 'p2pverify[torch]'`"
THREADS = 1
#: Micronats of a token whose loss is not finite, or above: 1,000 nats.
LOSS_MAX = 10**9


def open_torch() -> Any:
    """PyTorch, set to one thread and to algorithms that repeat their bits, for the whole process.

    Raises EngineUnavailable if it is not installed.
    """
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as error:
        raise EngineUnavailable(f"PyTorch is not installed ({error}): {GET_IT}") from None
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")
    return torch


def numeric_path() -> str:
    """The name of the numeric path of this machine, such as "torch-2.13.0+cpu/x86-64-avx512/t1".

    The name is for people: processors of one name can give other bits. Raises EngineUnavailable.
    """
    torch = open_torch()
    machine = MACHINES.get(platform.machine().lower(), platform.machine().lower())
    return f"torch-{torch.__version__}/{machine}-{torch.backends.cpu.get_cpu_capability().lower()}/t{THREADS}"


class LoraModel:
    """The weights of a GGUF file as 32-bit floats, and an adapter to them, which can be exchanged."""

    def __init__(self, path: Path) -> None:
        """Read a file whose digest was checked. Raises EngineUnavailable or its subclass WeightsError."""
        self._torch = open_torch()
        head = read_head(path)
        self._sizes = read_shape(head)
        if self._sizes.architecture.apart or self._sizes.rope_factor != 1.0:
            raise WeightsError("adapters are of models of the architecture llama with plain rotary positions alone")
        self._tensors = self._read(path, head)
        if "rope_freqs.weight" in self._tensors:
            raise WeightsError("adapters are of models with plain rotary positions alone")
        self._pairs: dict[str, tuple[Any, Any]] = {}

    def _read(self, path: Path, head: FileHead) -> dict[str, Any]:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return {
                each.name: self._put(numbers(read_tensor(data, head, each), each.name, each.kind, each.dimensions))
                for each in head.tensors
            }

    def _put(self, array: Any) -> Any:
        """A tensor with memory of its own, because the place of memory can change how products are computed."""
        return self._torch.from_numpy(np.ascontiguousarray(array, np.float32)).clone()

    @property
    def vocab_tokens(self) -> int:
        return int(self._tensors["token_embd.weight"].shape[0])

    # ------------------------------------------------------------ the adapter

    def take(self, adapter: Adapter) -> None:
        """Compute with this adapter, which is one to these weights, from now on."""
        self._pairs = {name: (self._leaf(a), self._leaf(b)) for name, a, b in adapter.matrices()}

    def _leaf(self, whole: Ints) -> Any:
        return self._put(whole / ONE_Q24).requires_grad_()

    def weights_bytes(self) -> bytes:
        """The adapter's floats, little endian, in the order of an adapter's numbers."""
        return b"".join(each.detach().numpy().astype("<f4").tobytes() for pair in self._pairs.values() for each in pair)

    def weights(self) -> Ints:
        """The adapter's floats in Q24, each rounded to the nearest integer, to even between two."""
        floats = np.frombuffer(self.weights_bytes(), "<f4").astype(np.float64)
        if not np.isfinite(floats).all():
            raise ValueError("the training has diverged: a number is not finite")
        found: Ints = np.rint(np.clip(floats, -64.0, 64.0) * ONE_Q24).astype(np.int64)
        return found

    # ------------------------------------------------------------ losses and steps

    def losses(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """The mean loss of the tokens of each row after its first, in micronats; 0 of a row of one token."""
        with self._torch.no_grad():
            return [_micronats(float(self._loss(row)), len(row) - 1) if len(row) > 1 else 0 for row in rows]

    def step(self, rows: Sequence[Sequence[int]], rate: float, decay: float) -> None:
        """One step of gradient descent along the mean loss of all tokens of these rows, then the decay of weights."""
        count = sum(len(row) - 1 for row in rows)
        for row in rows:
            if len(row) > 1:
                (self._loss(row) / count).backward()
        with self._torch.no_grad():
            for each in (one for pair in self._pairs.values() for one in pair):
                if each.grad is not None:
                    each.sub_(each.grad * rate)
                    each.grad = None
                each.sub_(each * decay)

    def _loss(self, row: Sequence[int]) -> Any:
        """The sum of the losses of a row's tokens after its first, in nats."""
        torch = self._torch
        logits = self.logits(row[:-1])
        wanted = torch.tensor(row[1:], dtype=torch.int64)
        return (torch.logsumexp(logits, 1) - logits.gather(1, wanted[:, None])[:, 0]).sum()

    def logits(self, tokens: Sequence[int]) -> Any:
        """The logits after each token (tokens, vocabulary)."""
        torch, sizes, tensors = self._torch, self._sizes, self._tensors
        x = tensors["token_embd.weight"][torch.tensor(tokens, dtype=torch.int64)]
        turns = rotations(sizes.rope_base, sizes.head_width // 2, len(tokens), np.ones(sizes.head_width // 2))
        cos, sin = (self._put(each) for each in turns)
        hidden = torch.full((len(tokens), len(tokens)), -torch.inf).triu(1)
        for layer in range(sizes.layers):
            x = x + self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm"), cos, sin, hidden)
            y = self._norm(x, f"blk.{layer}.ffn_norm")
            gate = torch.nn.functional.silu(self._apply(y, f"blk.{layer}.ffn_gate"))
            x = x + self._apply(gate * self._apply(y, f"blk.{layer}.ffn_up"), f"blk.{layer}.ffn_down")
        last = "output" if "output.weight" in tensors else "token_embd"
        return self._apply(self._norm(x, "output_norm"), last)

    def _attention(self, layer: int, x: Any, cos: Any, sin: Any, hidden: Any) -> Any:
        sizes, count = self._sizes, len(x)
        query = self._heads(self._adapted(x, f"blk.{layer}.{QUERIES}.weight"), sizes.heads)
        key = self._heads(self._apply(x, f"blk.{layer}.attn_k"), sizes.key_heads)
        value = self._heads(self._adapted(x, f"blk.{layer}.{VALUES}.weight"), sizes.key_heads)
        query, key = self._turned(query, cos, sin), self._turned(key, cos, sin)
        same = sizes.heads // sizes.key_heads
        key, value = key.repeat_interleave(same, 0), value.repeat_interleave(same, 0)
        scores = query @ key.transpose(1, 2) / sizes.head_width**0.5 + hidden
        mixed = self._torch.softmax(scores, 2) @ value
        return self._apply(mixed.transpose(0, 1).reshape(count, -1), f"blk.{layer}.attn_output")

    def _heads(self, x: Any, heads: int) -> Any:
        return x.reshape(len(x), heads, -1).transpose(0, 1)

    def _turned(self, x: Any, cos: Any, sin: Any) -> Any:
        """Rotary positions: each entry of a head with its neighbour."""
        even, odd = x[..., 0::2], x[..., 1::2]
        return self._torch.stack((even * cos - odd * sin, even * sin + odd * cos), 3).reshape(x.shape)

    def _norm(self, x: Any, name: str) -> Any:
        scale = self._torch.rsqrt((x * x).mean(1, keepdim=True) + self._sizes.epsilon)
        return x * scale * self._tensors[f"{name}.weight"].reshape(-1)

    def _apply(self, x: Any, name: str) -> Any:
        return x @ self._tensors[f"{name}.weight"].T

    def _adapted(self, x: Any, name: str) -> Any:
        a, b = self._pairs[name]
        return x @ self._tensors[name].T + SCALE * ((x @ a.T) @ b.T)


def _micronats(loss: float, tokens: int) -> int:
    return round(min(max(loss / tokens, 0.0) * MICRO, LOSS_MAX)) if np.isfinite(loss) else LOSS_MAX
