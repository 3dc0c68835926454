"""Reads the tensors of a GGUF file: matrices as blocks of integers, vectors as floats."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact import kquants, simple
from p2pverify.engine.exact.blocks import Blocks, Bytes, Floats
from p2pverify.engine.gguf.reader import FileHead, Tensor

F32 = 0
ENTRIES_MAX = 2**40


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How many weights of a row stand in how many bytes, and what reads them."""

    name: str
    weights: int
    size: int
    read: Callable[[Bytes], Blocks]


QUANTISATIONS = {
    F32: Quantisation("F32", 32, 128, simple.f32),
    1: Quantisation("F16", 32, 64, simple.f16),
    2: Quantisation("Q4_0", 32, 18, simple.q4_0),
    3: Quantisation("Q4_1", 32, 20, simple.q4_1),
    6: Quantisation("Q5_0", 32, 22, simple.q5_0),
    7: Quantisation("Q5_1", 32, 24, simple.q5_1),
    8: Quantisation("Q8_0", 32, 34, simple.q8_0),
    10: Quantisation("Q2_K", 256, 84, kquants.q2_k),
    11: Quantisation("Q3_K", 256, 110, kquants.q3_k),
    12: Quantisation("Q4_K", 256, 144, kquants.q4_k),
    13: Quantisation("Q5_K", 256, 176, kquants.q5_k),
    14: Quantisation("Q6_K", 256, 210, kquants.q6_k),
    30: Quantisation("BF16", 32, 64, simple.bf16),
}


class TensorFile:
    """The tensors of a GGUF file by name. Every reading raises WeightsError if the tensor is not as expected."""

    def __init__(self, path: Path, head: FileHead) -> None:
        self.tensors = {tensor.name: tensor for tensor in head.tensors}
        try:
            self._data: Bytes = np.memmap(path, np.uint8, "r")[head.data_start :]
        except (OSError, ValueError) as error:
            raise WeightsError(f"cannot read {path}: {error}") from None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise WeightsError(f"the GGUF file lacks {name}")
        return self.tensors[name]

    def shape(self, name: str) -> tuple[int, int]:
        """Rows (outputs) and columns (inputs) of a matrix."""
        tensor = self[name]
        if tensor.kind not in QUANTISATIONS:
            known = ", ".join(one.name for one in QUANTISATIONS.values())
            raise WeightsError(f"the exact engine reads {known}, and {name} has ggml's type {tensor.kind}")
        weights = QUANTISATIONS[tensor.kind].weights
        if len(tensor.dimensions) != 2:
            raise WeightsError(f"{name} in the GGUF file is no matrix")
        columns, rows = tensor.dimensions
        if columns % weights or not 0 < rows * columns < ENTRIES_MAX:
            raise WeightsError(f"{name} in the GGUF file has an unusable shape: {rows} rows of {columns}")
        return rows, columns

    def matrix(self, name: str) -> Blocks:
        """The blocks of a matrix."""
        rows, columns = self.shape(name)
        one = QUANTISATIONS[self[name].kind]
        count = columns // one.weights
        return one.read(self._part(self[name], rows * count * one.size).reshape(rows, count, one.size))

    def vector(self, name: str, size: int) -> Floats:
        """A vector (size,) that the file stores as 32-bit floats."""
        tensor = self[name]
        if len(tensor.dimensions) != 1 or tensor.kind != F32:
            raise WeightsError(f"{name} in the GGUF file is not a vector of 32-bit floats")
        if tensor.dimensions[0] != size:
            raise WeightsError(f"{name} in the GGUF file has {tensor.dimensions[0]} numbers instead of {size}")
        found = self._part(tensor, 4 * size).view("<f4").astype(np.float64)
        if not np.isfinite(found).all():
            raise WeightsError(f"{name} in the GGUF file has values that are not finite")
        return found

    def _part(self, tensor: Tensor, size: int) -> Bytes:
        if size > tensor.size or tensor.offset + size > self._data.size:
            raise WeightsError(f"{tensor.name} in the GGUF file is shorter than its shape says")
        return self._data[tensor.offset : tensor.offset + size]
