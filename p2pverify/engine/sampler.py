"""Sampling outside the engine: a token is a pure function of logits, temperature, key and position.

Gumbel-max (Maddison, Tarlow, Minka 2014): with independent standard Gumbel numbers g, the index of the largest
`logit + T * g` is a draw from softmax(logit / T). The numbers come from Philox4x64-10 (Salmon et al. 2011). This
generator is counter-based, so any position can be replayed alone.

The sampler is part of the determinism class, because another sampler gives other tokens. It is therefore defined to
the bit. Noise uses only integer operations and IEEE 754 double addition, multiplication and division, which are
correctly rounded everywhere. `numpy.log` is not used, because it differs by one ulp between processors.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine.portable import polynomial

ANSWER = b"p2pverify/sampler/answer/1\0"
PROMPT = b"p2pverify/sampler/prompt/1\0"

SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
LN_2 = 0.6931471805599453
# log((1+s)/(1-s)) = 2 (s + s^3/3 + s^5/5 + ...); with |s| < 0.1716 the next term is below 1e-13.
SERIES = tuple(2.0 / (2 * term + 1) for term in range(8))

# One word in 256 is at least LUCKY. The noise of a smaller word is below -log(-log(255 / 256)) = 5.5433.
LUCKY = np.uint64(255 << 56)
UNLUCKY_NOISE_MAX = 5.5434

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]


def philox_key(domain: bytes, secret: bytes) -> int:
    """128-bit generator key: the first 16 bytes of SHA-256(domain, secret), little endian."""
    return int.from_bytes(hashlib.sha256(domain + secret).digest()[:16], "little")


def log(x: Floats) -> Floats:
    """Natural logarithm of positive normal doubles to about 1e-13, equal in every bit on every machine."""
    bits = x.view(np.int64)
    exponent = (bits - SQRT_HALF_BITS) >> 52
    mantissa = (bits - (exponent << 52)).view(np.float64)  # in [sqrt(1/2), sqrt(2))
    s = (mantissa - 1.0) / (mantissa + 1.0)
    total = polynomial(s * s, SERIES)
    total *= s
    total += exponent * LN_2
    return total


def gumbel(key: int, position: int, size: int) -> Floats:
    """Standard Gumbel numbers (size,) for one position.

    Each is -log(-log(u)) with u = (r + 1/2) / 2^52. Here r is the upper 52 bits of one Philox4x64-10 output. The
    counters are (1, 0, 0, position), (2, 0, 0, position), ... in order, with four outputs for each counter.
    """
    return _noise(_words(key, position, size))


def _words(key: int, position: int, size: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=key, counter=position << 192).random_raw(size)


def _noise(words: NDArray[np.uint64]) -> Floats:
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    noise = log(-log(uniform))
    return np.negative(noise, out=noise)


def greedy(logits: Logits) -> int:
    """Index of the largest logit; the lowest index if several are equal."""
    return int(logits.argmax())


def sample(logits: Logits, temperature_milli: int, key: int, position: int) -> int:
    """One token at the temperature `temperature_milli` / 1000, which must be positive.

    If several tokens have the largest value, the lowest index wins.
    """
    return pick(logits, temperature_milli, key, position)[0]


def pick(logits: Logits, temperature_milli: int, key: int, position: int, claimed: int = 0) -> tuple[int, float]:
    """The token that `sample` gives, and the deficit of the token `claimed`: the difference of their `logit + T * g`.

    Only a token with large noise, or with a logit near the greatest, can win. Noise is computed for these tokens
    only. This takes a tenth of the time and gives the same bits.
    """
    temperature = temperature_milli / 1000
    words = _words(key, position, logits.size)

    def noisy(tokens: NDArray[np.intp]) -> Floats:
        noise = _noise(words[tokens])
        noise *= temperature
        noise += logits[tokens]
        return noise

    may_win = words >= LUCKY
    may_win[[int(logits.argmax()), claimed]] = True
    reached = noisy(np.flatnonzero(may_win)).max()
    may_win |= logits >= reached - temperature * UNLUCKY_NOISE_MAX
    tokens = np.flatnonzero(may_win)
    values = noisy(tokens)
    best = int(values.argmax())
    return int(tokens[best]), float(values[best] - values[np.searchsorted(tokens, claimed)])
