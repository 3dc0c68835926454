"""Arithmetic of the trainer: integers alone, with equal results on every machine.

Formats: weights, probabilities, gradients and updates are Q16, activations and logits Q12. Losses are in micronats.

Products of matrices are computed with float64 BLAS. A double holds every integer below 2^53, so if no sum reaches 2^53
in magnitude, all products and partial sums are exact. Then neither the order of a sum, nor threads, nor fused
multiply-add can change a bit. `matmul` refuses to compute where the bounds of its operands do not prove this. These
are the bounds with at most 256 features and 256 labels, 64 hidden units and 1024 rows of a batch:

| product | summands | each at most |
|---|---|---|
| activations times weights | 257 | ACTIVATION_MAX * WEIGHT_MAX < 2^36 |
| gradient times weights, for the hidden layer | 256 | ONE_Q16 * WEIGHT_MAX < 2^37 |
| activations times gradient, over the rows of a batch | 1024 | ACTIVATION_MAX * GRADIENT_MAX < 2^38 |

The sum of the absolute gradients of a row's logits is at most 2^17 + 128: probabilities sum up to 2^16 and half a unit
of rounding for each label, and the label's own is less by 2^16. So the gradient of a hidden unit is at most
GRADIENT_MAX after its shift by 16 bits.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import ONE_Q16
from p2pverify.core.data.schema import CELL_MAX, LABELS_MAX, ONE
from p2pverify.core.training.losses import LOSS_MICRONATS_MAX
from p2pverify.engine import portable, sampler

Ints = NDArray[np.int64]

ONE_Q12 = ONE
ACTIVATION_MAX = CELL_MAX  # below 8.0
WEIGHT_MAX = 2**21 - 1  # below 32.0
GRADIENT_MAX = ((2 * ONE_Q16 + LABELS_MAX // 2) * WEIGHT_MAX + ONE_Q16 // 2) >> 16
EXACT_BELOW = 2**53
#: The loss of a row whose label has the probability 0.
LOSS_MAX = LOSS_MICRONATS_MAX
MICRO = 1_000_000

#: exp(-i / 256) in Q16, i from 0 to 4096.
EXP_TABLE: Ints = np.rint(portable.exp(-np.arange(4097) / 256.0) * ONE_Q16).astype(np.int64)
#: -ln(p / 65536) in micronats, p from 0 to 65536.
LOSS_TABLE: Ints = np.concatenate(
    [[LOSS_MAX], np.rint(-sampler.log(np.arange(1, ONE_Q16 + 1) / float(ONE_Q16)) * MICRO).astype(np.int64)]
)


def matmul(left: NDArray[np.integer], right: NDArray[np.integer], *, term_max: int) -> Ints:
    """The exact product of two matrices of integers.

    `term_max` is an upper bound of the magnitude of each summand, which must follow from the ranges of the operands.
    Raises ValueError if a sum of so many summands could reach 2^53.
    """
    if left.shape[1] * term_max >= EXACT_BELOW:
        raise ValueError(f"{left.shape[1]} summands of up to {term_max} are not exact in doubles")
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)


def rounded(numbers: Ints, divisor: int) -> Ints:
    """numbers / divisor, rounded half up. Twice the numbers and the divisor must fit in 63 bits."""
    found: Ints = (2 * numbers + divisor) // (2 * divisor)
    return found


def softmax(logits: Ints) -> Ints:
    """Probabilities (rows, labels) in Q16 of logits (rows, labels) in Q12.

    exp is read from a table with 256 steps a unit, and interpolated between two of its entries.
    """
    below = np.minimum(logits.max(axis=1, keepdims=True) - logits, 16 * ONE_Q12 - 1)
    step, part = below >> 4, below & 15
    powers = (EXP_TABLE[step] * (16 - part) + EXP_TABLE[step + 1] * part + 8) >> 4
    totals = powers.sum(axis=1, keepdims=True)
    shares: Ints = (powers * ONE_Q16 + totals // 2) // totals
    return shares


def drawn_words(domain: bytes, seed: bytes, block: int, count: int) -> list[int]:
    """`count` words of 64 bits, big endian, of SHAKE-256(domain, seed, block in 8 bytes big endian)."""
    stream = hashlib.shake_256(domain + seed + block.to_bytes(8, "big")).digest(8 * count)
    words: list[int] = np.frombuffer(stream, ">u8").tolist()
    return words


def shuffled(domain: bytes, seed: bytes, block: int, count: int) -> NDArray[np.intp]:
    """The numbers 0 to count - 1 in a drawn order: sorted by the words of `block`, equal words by number."""
    return order_of(domain, seed, block, np.arange(count))


def order_of(domain: bytes, seed: bytes, block: int, numbers: NDArray[np.integer]) -> NDArray[np.intp]:
    """The places of some numbers (ascending, at least one) in their drawn order.

    A number has its own word, whatever other numbers there are. So the others keep their order if one is left out.
    """
    words = np.array(drawn_words(domain, seed, block, int(numbers[-1]) + 1 if len(numbers) else 0), np.uint64)
    return np.argsort(words[numbers], kind="stable")
