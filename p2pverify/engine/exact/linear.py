"""Matrix products as exact sums of integers, so that neither order nor hardware can change a bit.

1. Activations are rounded to integers of about 16 bits, relative to the row's largest.
2. sgemm sums a block's 16 or 32 numbers times as many activations. All partial sums stay within 2^24 in magnitude, so
   float32 holds them exactly. Every BLAS and GPU gives the same result, with fused multiply-add or without.
3. Block sums are multiplied by their integer scales and added in float64, within 2^53.

`activation_max` is chosen from the weights so that both bounds hold for every row of activations: a block sum is at
most entries * number_max * activation_max, and no partial sum of a row exceeds weight_max * activation_max. A wider
matrix only lowers `activation_max`, and a matrix that needs fewer than 11 bits is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact.blocks import UNIT, Blocks, Floats
from p2pverify.engine.exact.devices import Device

TILE = 1536
# Small numbers become floats tile by tile, so a tile should fit into the processor's L2 cache.
SMALL_TILE_ENTRIES, SMALL_TILE_MIN = 2**20, 128
ACTIVATION_MAX = 65_535
ACTIVATION_MIN = 2_047  # weights that need a smaller `activation_max` are refused
FLOAT32_MAX, FLOAT64_MAX = 2**24, 2**53


@dataclass(frozen=True, slots=True)
class Linear:
    """A matrix (outputs, inputs), split into tiles of `width` outputs and laid out for multiplication from the left.

    The last tile may have columns of zeros that no output needs. `numbers` are floats (4 bytes a weight), or small
    integers (1 byte a weight) that become floats while they are multiplied. Scales and minima add 8 bytes a block each.
    """

    numbers: NDArray[np.float32] | NDArray[np.int8]  # (tiles, blocks, entries, width), integers
    scales: Floats  # (tiles, blocks, width), integers
    minima: Floats | None  # (tiles, blocks, width), integers; None if all are 0
    activation_max: int
    outputs: int
    limbs: int  # how often the inputs are repeated: see `blocks`

    @property
    def small(self) -> bool:
        return self.numbers.dtype == np.int8

    def on(self, device: Device) -> tuple[Any, Any, Any]:
        """Numbers, scales and minima on a device, each with one item a tile. Raises EngineUnavailable."""
        minima = None if self.minima is None else device.hold(self.minima)
        return device.hold(self.numbers), device.hold(self.scales), minima

    def apply(self, x: Floats, device: Device) -> Floats:
        """x (rows, inputs) times the transposed matrix: (rows, outputs). `device` computes the sums."""
        rows = len(x)
        tiles, blocks, entries, width = self.numbers.shape
        largest = largest_of(x)
        whole = np.rint(x * (self.activation_max / largest)).reshape(rows, blocks // self.limbs, entries)
        by_block = np.ascontiguousarray(whole.transpose(1, 0, 2), np.float32)
        if self.limbs > 1:
            by_block = np.tile(by_block, (self.limbs, 1, 1))
        activations, sums = device.put(by_block), device.put(whole.sum(axis=2))
        numbers, scales, minima = self.on(device)
        result = device.empty(rows, tiles * width)
        for tile in range(tiles):
            part = device.tile(activations, numbers[tile], scales[tile])
            if minima is not None:
                part += sums @ minima[tile]
            result[:, tile * width : (tile + 1) * width] = part
        found: Floats = device.get(result)
        found *= largest * (UNIT / self.activation_max)
        return found[:, : self.outputs]

    def row(self, index: int) -> Floats:
        """One row of the matrix, as an embedding: (inputs,)."""
        tile, place = divmod(index, self.numbers.shape[3])
        numbers = self.numbers[tile, :, :, place].astype(np.float64)
        entries = numbers * self.scales[tile, :, None, place]
        if self.minima is not None:
            entries += self.minima[tile, :, None, place]
        whole: Floats = entries.reshape(self.limbs, -1).sum(axis=0)
        return whole * UNIT


def largest_of(x: Floats) -> Floats:
    """The greatest magnitude in each row (rows, 1), for divisions: 1 where the whole row is 0."""
    largest: Floats = np.abs(x).max(axis=1, keepdims=True)
    largest[largest == 0] = 1.0
    return largest


def pack(matrices: Sequence[Blocks], *, small: bool = False) -> Linear:
    """One matrix with the outputs of all `matrices`, in order. They have equal forms.

    With `small`, numbers stay small integers. Raises WeightsError if its sums cannot be exact.
    """
    numbers = np.concatenate([one.numbers for one in matrices])
    scales = np.concatenate([one.scales for one in matrices])
    minima = None
    if matrices[0].minima is not None:
        minima = np.concatenate([one.minima for one in matrices if one.minima is not None])
    outputs, blocks, entries = numbers.shape
    number_max = max(one.number_max for one in matrices)
    magnitudes = np.abs(scales) * number_max
    if minima is not None:
        magnitudes += np.abs(minima)
    weight_max = int((entries * magnitudes.sum(axis=1)).max())
    activation_max = min(ACTIVATION_MAX, FLOAT32_MAX // (entries * number_max), FLOAT64_MAX // max(1, weight_max))
    if activation_max < ACTIVATION_MIN:
        raise WeightsError("the weights are too large for exact sums")
    width = _width(outputs, blocks * entries, small=small)
    tiled = _tiled(numbers, width)
    return Linear(
        np.ascontiguousarray(tiled, np.int8) if small else np.ascontiguousarray(tiled, np.float32),
        np.ascontiguousarray(_tiled(scales, width)),
        None if minima is None else np.ascontiguousarray(_tiled(minima, width)),
        activation_max,
        outputs,
        matrices[0].limbs,
    )


def _width(outputs: int, inputs: int, *, small: bool) -> int:
    """The outputs of a tile: a divisor of `outputs` near the best width if there is one, else the best width."""
    best = TILE
    if small:
        best = min(TILE, max(SMALL_TILE_MIN, SMALL_TILE_ENTRIES // inputs))
    best = min(best, outputs)
    found = next(width for width in range(best, 0, -1) if outputs % width == 0)
    return found if 4 * found >= best else best


def _tiled(array: NDArray[Any], width: int) -> NDArray[Any]:
    """(outputs, ...) as (tiles, ..., width), with zeros behind the last output."""
    missing = -len(array) % width
    if missing:
        array = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
    return np.moveaxis(array.reshape(-1, width, *array.shape[1:]), 1, -1)
