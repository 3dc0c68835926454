"""Quantised weights are read as the integers that they are, and floats are rounded a little."""

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from p2pverify.engine.errors import WeightsError
from p2pverify.engine.exact.blocks import UNIT, Blocks
from p2pverify.engine.exact.tensors import QUANTISATIONS
from tests.support.tiny_model import FLOATS, random_blocks

ROWS, COLUMNS = 5, 512
FLOATING = (Kind.F32, Kind.F16, Kind.BF16)
QUANTISED = sorted(kind for kind in map(Kind, QUANTISATIONS) if kind not in FLOATING)


def quantised(kind: Kind, entries: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of bytes."""
    if kind in FLOATS:
        return random_blocks(rng, ROWS, COLUMNS, kind, 1.0)
    return gguf.quants.quantize(entries, kind).view(np.uint8)


def read(kind: Kind, raw: np.ndarray) -> Blocks:
    one = QUANTISATIONS[kind]
    assert (one.weights, one.size) in {gguf.GGML_QUANT_SIZES[kind], tuple(32 * n for n in gguf.GGML_QUANT_SIZES[kind])}
    return one.read(raw.reshape(len(raw), -1, one.size))


def entries_of(blocks: Blocks) -> np.ndarray:
    whole = blocks.numbers.astype(np.float64) * blocks.scales[..., None]
    if blocks.minima is not None:
        whole += blocks.minima[..., None]
    return whole.reshape(len(whole), blocks.limbs, -1).sum(axis=1) * UNIT


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_every_quantisation_is_read_without_rounding(kind: Kind) -> None:
    """The `gguf` library gives the same weights, up to its own rounding in single precision."""
    rng = np.random.default_rng(3)
    raw = quantised(kind, rng.normal(size=(ROWS, COLUMNS)).astype(np.float32), rng)
    blocks = read(kind, raw)
    assert np.abs(blocks.numbers.astype(int)).max() == blocks.number_max or kind == Kind.Q8_0
    for whole in (blocks.scales, blocks.scales if blocks.minima is None else blocks.minima):
        assert (whole == np.rint(whole)).all()
        assert np.abs(whole).max() < 2.0**40
    expected = gguf.quants.dequantize(raw, kind)
    assert np.allclose(entries_of(blocks), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", FLOATING, ids=lambda kind: kind.name)
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e4])
def test_floats_are_rounded_by_their_blocks(kind: Kind, scale: float) -> None:
    """The error is at most 2^-14 of the block's largest weight, or half a unit."""
    rng = np.random.default_rng(4)
    raw = quantised(kind, (rng.normal(size=(ROWS, COLUMNS)) * scale).astype(np.float32), rng)
    blocks = read(kind, raw)
    assert np.abs(blocks.numbers.astype(int)).max() <= blocks.number_max == 128
    exact = gguf.quants.dequantize(raw, kind).astype(np.float64).reshape(ROWS, -1, 32)
    error = np.abs(entries_of(blocks).reshape(exact.shape) - exact)
    assert (error <= np.maximum(np.abs(exact).max(axis=2, keepdims=True) * 2.0**-14, UNIT / 2)).all()


def test_half_precision_near_zero_is_exact() -> None:
    """Half precision floats are multiples of the unit, so blocks of small ones lose nothing."""
    raw = (np.arange(-512, 512, dtype=np.float32).reshape(2, 512) * UNIT).astype(np.float16)
    assert np.array_equal(entries_of(read(Kind.F16, raw.view(np.uint8))), raw.astype(np.float64))


@pytest.mark.parametrize("kind", FLOATING, ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(kind: Kind, value: float) -> None:
    entries = np.ones((1, 32), np.float32)
    entries[0, 7] = value
    with pytest.raises(WeightsError, match="finite"):
        read(kind, gguf.quants.quantize(entries, kind).view(np.uint8))


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_scales_that_are_not_finite_are_refused(kind: Kind) -> None:
    """A block whose bytes are all 0x7c has infinite or missing scales."""
    with pytest.raises(WeightsError, match="finite"):
        QUANTISATIONS[kind].read(np.full((1, 1, QUANTISATIONS[kind].size), 0x7E, np.uint8))
