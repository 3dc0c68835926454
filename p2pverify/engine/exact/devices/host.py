"""The device of the exact engine on which everything is numpy's. Nothing is moved."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class NumpyDevice:
    """Fulfils `Device`. Not thread-safe, because it reuses its scratch memory."""

    def __init__(self) -> None:
        self._scratch = np.empty(0, np.float32)

    def hold(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    put = get = hold

    def empty(self, *shape: int) -> NDArray[np.float64]:
        # The system allocates this memory only when it is first used.
        return np.empty(shape)

    def tile(
        self, activations: NDArray[np.float32], numbers: NDArray[Any], scales: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `Device`. Scratch memory is reused, so that it stays in the processor's caches."""
        blocks, rows, _ = activations.shape
        size, small = blocks * rows * numbers.shape[2], numbers.dtype == np.int8
        needed = size + numbers.size * small
        if self._scratch.size < needed:
            self._scratch = np.empty(needed, np.float32)
        if small:
            wide = self._scratch[size:needed].reshape(numbers.shape)
            np.copyto(wide, numbers)
            numbers = wide
        products = self._scratch[:size].reshape(blocks, rows, -1)
        np.matmul(activations, numbers, out=products)
        found: NDArray[np.float64] = np.einsum("brw,bw->rw", products, scales)
        return found
