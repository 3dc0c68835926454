"""Functions with equal bits everywhere: close to the exact values, and with fixed bits."""

import numpy as np
import pytest

from p2pverify.engine import portable

EXP_BITS = ["0x1.1b48655f37259p-29", "0x1.78b563635cc05p-2", "0x1.599058c8842f0p+0"]
ROTATION_BITS = ["0x1.ffd21b0401eddp-1", "-0x1.2f68e2433b617p-2", "0x1.ffffffd4c8679p-1"]


def test_exp_is_close_to_the_true_one() -> None:
    """The relative error is at most 1e-9 over the whole range. Arguments beyond the range are cut."""
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 2_001)])
    assert np.abs(portable.exp(x) / np.exp(x) - 1).max() < 1e-9
    assert np.array_equal(portable.exp(np.array([-1e9, 1e9])), portable.exp(np.array([-700.0, 700.0])))


def test_exp_of_nothing_is_one() -> None:
    """The largest share of a softmax is exactly 1."""
    assert portable.exp(np.array([0.0, -0.0])).tolist() == [1.0, 1.0]


def test_exp_leaves_its_argument_alone() -> None:
    """It works in place, but not in the caller's array."""
    x = np.array([-1.5, -800.0])
    portable.exp(x)
    assert x.tolist() == [-1.5, -800.0]


def test_exp_bits_are_pinned() -> None:
    """These doubles are equal on every machine."""
    assert [value.hex() for value in portable.exp(np.array([-20.0, -1.0, 0.3])).tolist()] == EXP_BITS


@pytest.mark.parametrize("positions", [1, 2, 100, 1024])
def test_rotations_are_close_to_the_true_ones(positions: int) -> None:
    """Cosines and sines of position * base^(-i / half) are exact to 1e-11, for any number of positions."""
    cos, sin = portable.rotations(100_000.0, 32, positions)
    angles = np.arange(positions)[:, None] * 100_000.0 ** (-np.arange(32) / 32)
    assert cos.shape == sin.shape == (positions, 32)
    assert np.abs(cos - np.cos(angles)).max() < 1e-11
    assert np.abs(sin - np.sin(angles)).max() < 1e-11


def test_rotations_of_fewer_positions_are_the_first_of_more() -> None:
    """A larger context changes no bit of a smaller one."""
    more, fewer = portable.rotations(10_000.0, 4, 77), portable.rotations(10_000.0, 4, 40)
    assert np.array_equal(more[0][:40], fewer[0])
    assert np.array_equal(more[1][:40], fewer[1])


def test_rotation_bits_are_pinned() -> None:
    """These doubles are equal on every machine."""
    cos, sin = portable.rotations(100_000.0, 32, 1000)
    assert [value.hex() for value in (cos[999, 0], sin[999, 1], cos[7, 31])] == ROTATION_BITS


@pytest.mark.parametrize("half", [0, 3, 48])
def test_other_than_powers_of_two_are_refused(half: int) -> None:
    """The root of the base is computed with square roots only."""
    with pytest.raises(ValueError, match="power of two"):
        portable.rotations(10_000.0, half, 8)
