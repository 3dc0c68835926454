"""A row with only its greatest log-probabilities, and the facts that follow from it with certainty.

The sampler's noise is known for every token, listed or not. So each unlisted token has a highest possible value. A
listed token above all these values and all listed tokens is also the pick from the whole row.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.engine import sampler
from p2pverify.engine.margins import MICRONATS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogprobRow:
    """Listed tokens (n,), ascending; their log-probabilities (n,) in nats; and an upper bound for all other tokens."""

    tokens: NDArray[np.int64]
    logprobs: Floats
    bound: float

    def logprob(self, token: int) -> float | None:
        """A listed token's log-probability in nats; None if the token is not listed."""
        at = int(np.searchsorted(self.tokens, token))
        is_listed = at < self.tokens.size and int(self.tokens[at]) == token
        return float(self.logprobs[at]) if is_listed else None


def make_row(listed: Mapping[int, float], bound: float, vocab_tokens: int) -> LogprobRow:
    """A row of listed tokens. `bound` is ignored if the whole vocabulary is listed."""
    tokens = np.array(sorted(listed), dtype=np.int64)
    logprobs = np.array([listed[int(token)] for token in tokens], dtype=np.float64)
    return LogprobRow(tokens, logprobs, -np.inf if len(listed) == vocab_tokens else bound)


def noise_at(temperature_milli: int, key: int, position: int, vocab_tokens: int) -> Floats | None:
    """The noise (vocab_tokens,) that the sampler adds to the logits at a position; None at temperature 0."""
    if temperature_milli == 0:
        return None
    noise = sampler.gumbel(key, position, vocab_tokens)
    noise *= temperature_milli / 1000
    return noise


def pick(row: LogprobRow, noise: Floats | None) -> int | None:
    """The token that the sampler picks; None if an unlisted token could be better."""
    best = _best(row, noise)
    return None if best is None else int(row.tokens[best])


def judge(row: LogprobRow, token: int, noise: Floats | None) -> tuple[int, int, int] | None:
    """Deficit and surprisal of a claimed token in micronats and the picked token, as `margins.margin` gives them.

    None if the row does not decide: the claimed token is not listed, or the pick is not certain.
    """
    claimed, best = row.logprob(token), _best(row, noise)
    if claimed is None or best is None:
        return None
    picked = int(row.tokens[best])
    deficit = float(row.logprobs[best]) - claimed
    if noise is not None:
        deficit += float(noise[picked]) - float(noise[token])
    return max(0, round(deficit * MICRONATS)), max(0, round(-claimed * MICRONATS)), picked


def _best(row: LogprobRow, noise: Floats | None) -> int | None:
    """Index of the best listed token; None if an unlisted token could be better."""
    if row.tokens.size == 0:
        return None
    if noise is None:
        scores, ceiling = row.logprobs, row.bound
    else:
        scores = row.logprobs + noise[row.tokens]
        others = np.delete(noise, row.tokens)
        ceiling = row.bound + float(others.max()) if others.size else -np.inf
    best = int(scores.argmax())
    return best if scores[best] >= ceiling else None
