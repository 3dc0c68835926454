"""One step with differential privacy: tabular-dp/1. Gradients of rows are clipped, and their sum gets discrete noise.

The noise is a discrete Gaussian, drawn exactly with integers (Canonne, Kamath, Steinke 2020, "The discrete Gaussian for
differential privacy", algorithms 1 to 3). With a clip C and the parameter sigma, a step is rho-zCDP with
rho = C^2 / (2 sigma^2); `core/data/budget` computes it.
"""

from collections.abc import Iterator
from math import isqrt

import numpy as np

from p2pverify.core.contract.history.training import ONE_Q16, TrainingRule
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.numbers import ONE_Q12, WEIGHT_MAX, Ints, drawn_words, rounded
from p2pverify.engine.tabular.sgd import output_gradient

NOISE = b"p2pverify/training/noise/1\0"
#: Noise is cut here, so that sums stay within 63 bits. With sigma up to 2^32 no draw ever gets there.
NOISE_MAX = 2**40
ROWS_MAX = 65_536
_BLOCK_WORDS = 128
_CHUNK_NUMBERS = 2**20
_HALF_BITS = 25


class Draws:
    """Uniform integers of any size, from the words of SHAKE-256 of a seed."""

    def __init__(self, seed: bytes) -> None:
        self._words = self._stream(seed)

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1, each equally likely: the upper bits of fresh words, again if too great."""
        bits = (bound - 1).bit_length()
        if not bits:
            return 0
        count = -(-bits // 64)
        while True:
            number = 0
            for _ in range(count):
                number = number << 64 | next(self._words)
            number >>= 64 * count - bits
            if number < bound:
                return number

    @staticmethod
    def _stream(seed: bytes) -> Iterator[int]:
        block = 0
        while True:
            yield from drawn_words(NOISE, seed, block, _BLOCK_WORDS)
            block += 1


def bernoulli_exp(draws: Draws, over: int, under: int) -> bool:
    """True with the probability exp(-over / under), for integers over >= 0 and under > 0."""
    while over > under:
        if not bernoulli_exp(draws, 1, 1):
            return False
        over -= under
    count = 1
    while draws.below(under * count) < over:
        count += 1
    return count % 2 == 1


def discrete_laplace(draws: Draws, scale: int) -> int:
    """An integer x with a probability proportional to exp(-|x| / scale)."""
    while True:
        part = draws.below(scale)
        if not bernoulli_exp(draws, part, scale):
            continue
        whole = 0
        while bernoulli_exp(draws, 1, 1):
            whole += 1
        size = part + scale * whole
        is_negative = draws.below(2) == 1
        if is_negative and size == 0:
            continue
        return -size if is_negative else size


def discrete_gaussian(draws: Draws, sigma: int) -> int:
    """An integer x with a probability proportional to exp(-x^2 / (2 sigma^2)), sigma at least 1."""
    scale, square = sigma + 1, sigma * sigma
    while True:
        found = discrete_laplace(draws, scale)
        if bernoulli_exp(draws, (abs(found) * scale - square) ** 2, 2 * square * scale * scale):
            return found


def noise(seed: bytes, sigma: int, count: int) -> Ints:
    """`count` independent draws, cut at ±NOISE_MAX."""
    draws = Draws(seed)
    drawn = (discrete_gaussian(draws, sigma) for _ in range(count))
    return np.array([max(-NOISE_MAX, min(NOISE_MAX, each)) for each in drawn], np.int64)


def clipped_sum(model: TabularModel, rows: Rows, clip: int) -> Ints:
    """The sum over all rows of the gradient of the row's loss (weights,) in Q16, each shrunk to the norm `clip`.

    One row more or less changes the sum by at most `clip` in the Euclidean norm, because numbers are rounded towards 0.
    """
    total = np.zeros(len(model.weights), np.int64)
    chunk = max(1, _CHUNK_NUMBERS // len(model.weights))
    for at in range(0, len(rows), chunk):
        inputs, gradients = output_gradient(model, rows.taken(slice(at, at + chunk)))
        found = np.concatenate(
            [
                ((one[:, :, None] * two[:, None, :] + ONE_Q12 // 2) >> 12).reshape(len(one), -1)
                for one, two in zip(inputs, gradients, strict=True)
            ],
            axis=1,
        )
        norms = np.array(_norms(found), np.int64)
        long = norms > clip
        found[long] = np.sign(found[long]) * (np.abs(found[long]) * clip // norms[long, None])
        total += found.sum(axis=0)
    return total


def _norms(gradients: Ints) -> list[int]:
    """The Euclidean norm of each row, rounded up. Sums of squares may need more than 63 bits, hence the two halves."""
    squares = gradients * gradients
    high = (squares >> _HALF_BITS).sum(axis=1).tolist()
    low = (squares & (2**_HALF_BITS - 1)).sum(axis=1).tolist()
    return [_root_up((one << _HALF_BITS) + two) for one, two in zip(high, low, strict=True)]


def _root_up(square: int) -> int:
    return isqrt(square - 1) + 1 if square else 0


def private_step(model: TabularModel, rows: Rows, rule: TrainingRule, seed: bytes) -> TabularModel:
    """The model after one step over all rows, with noise drawn from `seed`. Decay comes last, as in a step of sgd.

    Raises ValueError for more than ROWS_MAX rows.
    """
    if len(rows) > ROWS_MAX:
        raise ValueError(f"{len(rows)} rows are more than {ROWS_MAX}")
    total = clipped_sum(model, rows, rule.row_clip_q16) + noise(seed, rule.sigma, len(model.weights))
    weights = model.weights - rounded(total * rule.lr_q16, len(rows) * ONE_Q16)
    weights = np.clip(weights, -WEIGHT_MAX, WEIGHT_MAX)
    return TabularModel(model.schema, model.hidden, weights - rounded(weights * rule.decay_q16, ONE_Q16))
