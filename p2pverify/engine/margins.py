"""What the logits at one place say of a claimed token: its margin, its surprisal, and the token to expect.

Every engine that can score uses this, so that the sampler's noise is replayed in one place. Computing the logits is
left to the engine, the verdict to `core.inference.compare`.
"""

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine import sampler
from p2pverify.engine.portable import exp

MICRONATS = 1e6
# Summands of a softmax are rounded to multiples of 2^-30, so that their sum is an exact integer in any order, as long
# as the vocabulary has at most 2^23 tokens.
UNITS = 2.0**30
NOTHING_BELOW = 22.0  # exp(-22) is rounded to 0

Logits = NDArray[np.float32]


def margin(logits: Logits, token: int, temperature_milli: int, key: int, position: int) -> tuple[int, int, int]:
    """Deficit and surprisal of a claimed token, in micronats, and the token that the sampler picks from `logits`.

    The deficit is how far the token's logit lies below the greatest, both with the noise that `sampling.sample` adds
    for this philox key and position when the temperature is not 0. The surprisal is -log softmax(logits)[token].
    """
    if temperature_milli == 0:
        best = sampler.greedy(logits)
        deficit = float(logits[best]) - float(logits[token])
    else:
        best, deficit = sampler.pick(logits, temperature_milli, key, position, token)
    return round(deficit * MICRONATS), round(surprisal(logits, token) * MICRONATS), best


def surprisal(logits: Logits, token: int) -> float:
    """-log softmax(logits)[token] in nats: from equal logits the same bits on every machine."""
    greatest = np.float64(logits.max())
    shares = exp(logits[logits >= greatest - NOTHING_BELOW] - greatest)
    shares *= UNITS
    np.rint(shares, out=shares)
    total = shares.sum(keepdims=True) / UNITS
    return float(sampler.log(total)[0] + (greatest - logits[token]))
