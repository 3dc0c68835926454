"""Matrix products as exact sums of integers, so that neither order nor hardware can change a bit.

1. Activations are rounded to integers of about 16 bits, relative to the row's largest.
2. sgemm sums a block's 32 numbers times 32 activations. All partial sums stay within 2^24 in magnitude, so float32
   holds them exactly. Every BLAS gives the same result, with fused multiply-add or without.
3. Block sums are multiplied by their integer scales and added in float64, within 2^53.

`activation_max` is chosen from the weights so that both bounds hold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact.blocks import BLOCK, UNIT, Blocks

TILE = 1536
ACTIVATION_MAX = 65_535
ACTIVATION_MIN = 2_047  # weights that need a smaller `activation_max` are refused
FLOAT32_MAX, FLOAT64_MAX = 2**24, 2**53

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix (outputs, inputs), split into tiles of `width` outputs and laid out for multiplication from the left."""

    numbers: NDArray[np.float32]  # (tiles, blocks, 32, width), integers
    scales: Floats  # (tiles, blocks, width), integers
    minima: Floats  # (tiles, blocks, width), integers
    activation_max: int

    @property
    def outputs(self) -> int:
        tiles, _, _, width = self._sizes
        return tiles * width

    @property
    def products(self) -> int:
        """The number of block sums for one row and one tile."""
        _, blocks, _, width = self._sizes
        return blocks * width

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        tiles, blocks, block, width = self.numbers.shape
        return tiles, blocks, block, width

    def apply(self, x: Floats, scratch: NDArray[np.float32]) -> Floats:
        """x (rows, inputs) times the transposed matrix: (rows, outputs).

        `scratch` has room for rows * products numbers. It is reused, so that it stays in the processor's caches.
        """
        rows = len(x)
        tiles, blocks, _, width = self.numbers.shape
        largest = largest_of(x)
        whole = np.rint(x * (self.activation_max / largest)).reshape(rows, blocks, BLOCK)
        by_block = np.ascontiguousarray(whole.transpose(1, 0, 2), np.float32)
        sums = whole.sum(axis=2)
        products = scratch[: rows * blocks * width].reshape(blocks, rows, width)
        result = np.empty((rows, tiles * width))
        for tile in range(tiles):
            np.matmul(by_block, self.numbers[tile], out=products)
            part = sums @ self.minima[tile]
            part += np.einsum("brw,bw->rw", products, self.scales[tile])
            result[:, tile * width : (tile + 1) * width] = part
        result *= largest * (UNIT / self.activation_max)
        return result

    def row(self, index: int) -> Floats:
        """One row of the matrix, as an embedding: (inputs,)."""
        tile, place = divmod(index, self.numbers.shape[3])
        numbers = self.numbers[tile, :, :, place].astype(np.float64)
        entries = numbers * self.scales[tile, :, None, place] + self.minima[tile, :, None, place]
        return entries.ravel() * UNIT


def largest_of(x: Floats) -> Floats:
    """The greatest magnitude in each row (rows, 1), for divisions: 1 where the whole row is 0."""
    largest: Floats = np.abs(x).max(axis=1, keepdims=True)
    largest[largest == 0] = 1.0
    return largest


def pack(matrices: list[Blocks]) -> Linear:
    """One matrix with the outputs of all `matrices`, in order. Raises WeightsError if its sums cannot be exact."""
    numbers = np.concatenate([one.numbers for one in matrices])
    scales = np.concatenate([one.scales for one in matrices])
    minima = np.concatenate([one.minima for one in matrices])
    outputs, blocks, _ = numbers.shape
    width = next(width for width in range(min(TILE, outputs), 0, -1) if outputs % width == 0)
    tiles = outputs // width
    number_max = max(one.number_max for one in matrices)
    weight_max = int((BLOCK * (np.abs(scales) * number_max + np.abs(minima)).sum(axis=1)).max())
    activation_max = min(ACTIVATION_MAX, FLOAT32_MAX // (BLOCK * number_max), FLOAT64_MAX // max(1, weight_max))
    if activation_max < ACTIVATION_MIN:
        raise WeightsError("the weights are too large for exact sums")
    return Linear(
        np.ascontiguousarray(numbers.reshape(tiles, width, blocks, BLOCK).transpose(0, 2, 3, 1), np.float32),
        np.ascontiguousarray(scales.reshape(tiles, width, blocks).transpose(0, 2, 1)),
        np.ascontiguousarray(minima.reshape(tiles, width, blocks).transpose(0, 2, 1)),
        activation_max,
    )
