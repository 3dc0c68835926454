"""Attention and norms are exact at their bounds, for contexts of any length, and the same for every split."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.engine.exact import attention
from p2pverify.engine.exact.attention import FIXED_BITS, PART, SHARE, VALUE_MAX, Attention, fixed, limit
from p2pverify.engine.exact.devices.host import NumpyDevice
from p2pverify.engine.exact.norms import rms_norm
from p2pverify.engine.exact.rope import Rope

UNIT = 2.0**FIXED_BITS
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_parts(positions: int, heads: int, key_heads: int, head_width: int) -> Parts:
    rng = np.random.default_rng(positions)
    return (
        rng.normal(size=(positions, heads, head_width)),
        rng.normal(size=(positions, key_heads, head_width)),
        rng.normal(size=(positions, key_heads, head_width)),
    )


def run(parts: Parts, ends: list[int], window: int) -> np.ndarray:
    """All rows, if they are run in pieces that end at `ends`."""
    query, key, value = parts
    memory = Attention(1, key.shape[1], key.shape[2], len(query), FIXED_BITS, NumpyDevice())
    found, start = [], 0
    for end in [*ends, len(query)]:
        found.append(memory.run(0, query[start:end], key[start:end], value[start:end], start, window))
        start = end
    return np.concatenate(found)


def plain(parts: Parts, window: int) -> np.ndarray:
    """The same in floats."""
    query, key, value = (part.transpose(1, 0, 2) for part in parts)
    key, value = (np.repeat(part, len(query) // len(part), axis=0) for part in (key, value))
    behind = np.arange(query.shape[1])[:, None] - np.arange(query.shape[1])
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[2])
    scores[:, (behind < 0) | (behind >= (window or len(behind)))] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
    return mixed.transpose(1, 0, 2).reshape(query.shape[1], -1)


LONG = random_parts(PART + 150, 2, 1, 8)
LONG_ROWS = {window: run(LONG, [], window) for window in (0, 7, 1100)}


@pytest.mark.parametrize("window", LONG_ROWS)
def test_long_contexts_are_right(window: int) -> None:
    """More positions than a part has, with a window and without one."""
    assert np.allclose(LONG_ROWS[window], plain(LONG, window), atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(
    ends=st.lists(st.integers(1, len(LONG[0]) - 1), unique=True, max_size=4).map(sorted),
    window=st.sampled_from(sorted(LONG_ROWS)),
)
def test_no_split_changes_a_bit(ends: list[int], window: int) -> None:
    """Whatever positions stand in the sums beside those that a row sees, its bits are the same."""
    assert run(LONG, ends, window).tobytes() == LONG_ROWS[window].tobytes()


@pytest.mark.parametrize("window", LONG_ROWS)
def test_one_position_at_a_time_gives_the_same_bits(window: int) -> None:
    tail = list(range(len(LONG[0]) - 8, len(LONG[0])))
    assert run(LONG, tail, window).tobytes() == LONG_ROWS[window].tobytes()


@pytest.mark.parametrize("head_width", [64, 128, 256, 512])
def test_scores_at_the_bound_are_exact(head_width: int) -> None:
    """The largest queries times the largest keys, and one unit less, are sums that float64 holds."""
    top = limit(head_width)
    assert head_width * int(top) ** 2 <= 2**53
    row = np.full((1, head_width), top)
    row[0, ::3] -= 1
    assert int((row @ row.T)[0, 0]) == sum(int(one) ** 2 for one in row[0])


def test_mixed_values_at_the_bound_are_exact() -> None:
    """A part of equal shares of the largest values is a sum of 2^53, and the mean is the value itself."""
    assert PART * int(SHARE) * int(VALUE_MAX) == 2**53
    value = np.full((PART, 1, 2), VALUE_MAX / UNIT)
    zero = np.zeros((PART, 1, 2))
    found = run((zero, zero, value), [PART - 1], 0)
    assert (found == VALUE_MAX / UNIT).all()


def test_very_low_scores_do_not_meet_the_mask() -> None:
    """A row whose scores are all far below zero sees the same positions alone and among others."""
    rng = np.random.default_rng(2)
    query, key, value = (rng.normal(size=(40, 1, 64)) for _ in "qkv")
    query[:] = 400.0
    key[:] = -400.0 + rng.random((40, 1, 64))
    parts = (query, key, value)
    assert run(parts, list(range(1, 40)), 0).tobytes() == run(parts, [], 0).tobytes()


def test_what_does_not_fit_saturates() -> None:
    """Keys and values beyond the fixed point's range are cut equally on every machine."""
    assert fixed(np.array([1e12, -1e12, 0.25]), UNIT, VALUE_MAX).tolist() == [VALUE_MAX, -VALUE_MAX, 4096.0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.sampled_from([64, 2048, 2049, 4096, 8192]))
def test_norms_are_exact_sums(seed: int, width: int) -> None:
    """The sum of squares is the one of Python's integers, also if all entries are as large as the largest."""
    rng = np.random.default_rng(seed)
    bits = 21 if width <= 2048 else 20
    whole = np.where(rng.random(width) < 0.9, 2**bits, rng.integers(-(2**bits), 2**bits, width))
    whole[0] = 2**bits
    total = sum(int(one) ** 2 for one in whole)
    assert total <= 2**53
    mean = float(Fraction(total)) * 2.0 ** (-2 * bits) / width
    (found,) = rms_norm(whole[None] * 2.0**-bits, np.ones(width), 0.5)
    assert found.tolist() == (whole * 2.0**-bits * (1.0 / np.sqrt(mean + 0.5))).tolist()


@pytest.mark.parametrize("apart", [False, True])
def test_rotations_turn_pairs(apart: bool) -> None:
    """The length of each pair stays, and the angle is the position's, divided by the pair's factor."""
    slower = np.array([1.0, 2.0, 8.0, 1.0])
    x = np.random.default_rng(1).normal(size=(5, 3, 8))
    turned = Rope(10_000.0, 8, 200, apart=apart, slower=slower).turn(x, 150)
    first, second = (slice(0, 4), slice(4, 8)) if apart else (slice(0, 8, 2), slice(1, 8, 2))
    angles = np.arange(150, 155)[:, None] * 10_000.0 ** (-np.arange(4) / 4) / slower
    expected = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angles)[:, None]
    assert np.allclose(turned[..., first] + 1j * turned[..., second], expected, atol=1e-12)


def test_parts_begin_at_fixed_positions() -> None:
    """Wherever the seen positions begin, cuts are at multiples of a part."""
    shares = np.ones((1, 1, 2 * PART))
    values = np.ones((1, 2 * PART, 1))
    for first in (0, 1, PART - 1, PART):
        assert attention._mixed(shares, values, first).item() == 2 * PART
