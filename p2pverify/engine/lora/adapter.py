"""An adapter: low-rank changes (LoRA, Hu et al. 2021) of the query and value matrices of a GGUF file, as integers.

The change of a matrix is SCALE times B A, A (rank, inputs) being drawn at first and B (outputs, rank) being 0. Numbers
are in Q24: 2^24 stands for 1. Everything here is integers, so equal inputs give equal bytes on every machine.

adapter = the domain, SHA-256 of the file, rank (2 bytes), layers (2 bytes), inputs, outputs of queries and outputs of
values (4 bytes each), then each number as a big-endian integer of 32 bits: layer by layer A and B of the queries, then
those of the values
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import isqrt

import numpy as np

from p2pverify.core.contract.history.lora import RANK_MAX
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.reader import FileHead
from p2pverify.engine.tabular.numbers import Ints, drawn_words

MAGIC = b"p2pverify/lora/1\0"
INITIAL = b"p2pverify/lora/initial/1\0"
ONE_Q24 = 2**24
#: Numbers are below 8.0, so that a sum of 64 products stays below 2^60.
NUMBER_MAX = 2**27 - 1
#: The change of a matrix is so many times B A.
SCALE = 2
#: Numbers of an adapter: an update has 4 bytes for each, and a blob of a round has at most 16 MiB.
NUMBERS_MAX = 2**22 - 2**10
QUERIES, VALUES = "attn_q", "attn_v"
_HEAD = (2, 2, 4, 4, 4)
_HEAD_BYTES = len(MAGIC) + 32 + sum(_HEAD)
ADAPTER_BYTES_MAX = _HEAD_BYTES + 4 * NUMBERS_MAX


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """Matrices of a model: in each layer one of queries (queries, inputs) and one of values (values, inputs)."""

    rank: int
    layers: int
    inputs: int
    queries: int
    values: int

    @property
    def count(self) -> int:
        """How many numbers an adapter has."""
        return self.layers * self.rank * (2 * self.inputs + self.queries + self.values)

    def parts(self) -> Iterator[tuple[str, int, int]]:
        """The matrices in order: the tensor's name, its outputs, and the place of its first number."""
        at = 0
        for layer in range(self.layers):
            for name, outputs in ((QUERIES, self.queries), (VALUES, self.values)):
                yield f"blk.{layer}.{name}.weight", outputs, at
                at += self.rank * (self.inputs + outputs)


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter to the file with the SHA-256 `file` (32 B). `weights` (count,) are never changed."""

    file: bytes
    shape: AdapterShape
    weights: Ints

    def encode(self) -> bytes:
        """The canonical bytes."""
        shape = self.shape
        sizes = (shape.rank, shape.layers, shape.inputs, shape.queries, shape.values)
        head = b"".join(size.to_bytes(width, "big") for size, width in zip(sizes, _HEAD, strict=True))
        return MAGIC + self.file + head + self.weights.astype(">i4").tobytes()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 (32 B) of the canonical bytes."""
        return sha256(self.encode())

    def moved(self, update: Ints) -> "Adapter":
        """The adapter with an update (count,) added, cut at ±NUMBER_MAX."""
        return replace(self, weights=np.clip(self.weights + update, -NUMBER_MAX, NUMBER_MAX))

    def matrices(self) -> Iterator[tuple[str, Ints, Ints]]:
        """Each matrix: its tensor's name, A (rank, inputs) and B (outputs, rank)."""
        rank, inputs = self.shape.rank, self.shape.inputs
        for name, outputs, at in self.shape.parts():
            middle, end = at + rank * inputs, at + rank * (inputs + outputs)
            yield name, self.weights[at:middle].reshape(rank, inputs), self.weights[middle:end].reshape(outputs, rank)

    def change(self, a: Ints, b: Ints) -> Ints:
        """B A (outputs, inputs), exactly: in Q48, and not yet times SCALE."""
        found = np.zeros((len(b), a.shape[1]), np.int64)
        for at in range(self.shape.rank):
            found += np.multiply.outer(b[:, at], a[at])
        return found


def shape_of(head: FileHead, rank: int) -> AdapterShape:
    """The shape of adapters to a file. Raises WeightsError if it is no llama, or too large."""
    if head.text("general.architecture", "") != "llama":
        raise WeightsError("adapters are of models of the architecture llama alone")
    sizes = {tensor.name: tensor.dimensions for tensor in head.tensors}
    layers = head.number("llama.block_count")
    first = [sizes.get(f"blk.0.{name}.weight", ()) for name in (QUERIES, VALUES)]
    if any(len(each) != 2 for each in first) or first[0][0] != first[1][0]:
        raise WeightsError("the model has no matrices of queries and values with equal inputs")
    found = AdapterShape(rank, layers, first[0][0], first[0][1], first[1][1])
    if not 0 < layers < 2**16 or not 1 <= rank <= RANK_MAX or found.count > NUMBERS_MAX:
        raise WeightsError(f"an adapter of rank {rank} would have {found.count} numbers, and at most {NUMBERS_MAX} fit")
    wanted = {name: (found.inputs, outputs) for name, outputs, _ in found.parts()}
    if any(sizes.get(name) != size for name, size in wanted.items()):
        raise WeightsError("the layers of the model have matrices of several sizes")
    return found


def initial(file: bytes, shape: AdapterShape) -> Adapter:
    """The adapter with which the rounds of a file (SHA-256, 32 B) begin. It changes nothing, because each B is 0.

    Each A is drawn from the file's digest, evenly between ±1 / sqrt(inputs).
    """
    weights = np.zeros(shape.count, np.int64)
    spread = isqrt(ONE_Q24**2 // shape.inputs)
    for number, (_, _, at) in enumerate(shape.parts()):
        count = shape.rank * shape.inputs
        drawn = np.array(drawn_words(INITIAL, file, number, count), np.uint64)
        weights[at : at + count] = ((drawn >> np.uint64(40)).astype(np.int64) - 2**23) * spread // 2**23
    return Adapter(file, shape, weights)


def decode_adapter(data: bytes) -> Adapter:
    """Read an adapter from its canonical bytes. Raises DecodeError."""
    if len(data) > ADAPTER_BYTES_MAX:
        raise DecodeError("an adapter: too long")
    if not data.startswith(MAGIC) or len(data) < _HEAD_BYTES:
        raise DecodeError("not an adapter")
    sizes, at = [], len(MAGIC) + 32
    for width in _HEAD:
        sizes.append(int.from_bytes(data[at : at + width], "big"))
        at += width
    shape = AdapterShape(*sizes)
    if 0 in sizes or shape.rank > RANK_MAX or len(data) != _HEAD_BYTES + 4 * shape.count:
        raise DecodeError("an adapter: not as many numbers as its shape has")
    weights = np.frombuffer(data, ">i4", offset=_HEAD_BYTES).astype(np.int64)
    if np.abs(weights).max() > NUMBER_MAX:
        raise DecodeError(f"a number of an adapter is beyond {NUMBER_MAX}")
    return Adapter(data[len(MAGIC) : len(MAGIC) + 32], shape, weights)
