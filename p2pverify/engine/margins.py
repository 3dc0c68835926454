"""Compares a claimed token with the logits at its position: its deficit, its surprisal, and the expected token.

Every engine that can score uses this module, so that only one function replays the sampler's noise. The engine
computes the logits; `core.inference.compare` gives the verdict.
"""

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine import sampler
from p2pverify.engine.portable import exp

MICRONATS = 1e6
# Summands of a softmax are rounded to multiples of 2^-30, so that their sum is exact in any order. This holds for
# vocabularies of at most 2^23 tokens.
UNITS = 2.0**30
NOTHING_BELOW = 22.0  # exp(-22) is rounded to 0

Logits = NDArray[np.float32]


def margin(logits: Logits, token: int, temperature_milli: int, key: int, position: int) -> tuple[int, int, int]:
    """Deficit and surprisal of a claimed token, in micronats, and the token that the sampler picks from `logits`.

    The deficit is the greatest logit less the token's logit. If the temperature is not 0, both logits include the
    noise that `sampler.sample` adds for this Philox key and position. The surprisal is -log softmax(logits)[token].
    """
    if temperature_milli == 0:
        best = sampler.greedy(logits)
        deficit = float(logits[best]) - float(logits[token])
    else:
        best, deficit = sampler.pick(logits, temperature_milli, key, position, token)
    return round(deficit * MICRONATS), round(surprisal(logits, token) * MICRONATS), best


def surprisal(logits: Logits, token: int) -> float:
    """-log softmax(logits)[token] in nats. Equal logits give equal bits on every machine."""
    greatest = np.float64(logits.max())
    shares = exp(logits[logits >= greatest - NOTHING_BELOW] - greatest)
    shares *= UNITS
    np.rint(shares, out=shares)
    total = shares.sum(keepdims=True) / UNITS
    return float(sampler.log(total)[0] + (greatest - logits[token]))
