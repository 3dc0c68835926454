"""The number of tokens that llama.cpp may evaluate at once without changing a bit.

A class consists of the bits of one token at a time. llama.cpp multiplies a matrix by several tokens faster than by one,
and for some types of matrices another kernel with other bits does it. Measured with the pinned wheel on AVX2, for the
rows of logits that equal those of one token at a time:

- Q4_0, Q4_1, Q5_0, Q8_0: all, up to 64 tokens;
- Q4_K and Q6_K: all up to 7 tokens, if the weights are not repacked, and nearly none from 8 on;
- F16: none from 2 on.

A type that was not measured is treated like F16. The self-test compares one pass with single tokens, so it reports an
engine in which this table is wrong.
"""

from collections.abc import Sequence

from p2pverify.engine.gguf.reader import Tensor

_Q4_0, _Q4_1, _Q5_0, _Q8_0 = 2, 3, 6, 8
_Q4_K, _Q6_K = 12, 14
_K_QUANTS = frozenset((_Q4_K, _Q6_K))
_PLAIN = frozenset((_Q4_0, _Q4_1, _Q5_0, _Q8_0))
TOKENS_MAX = 64
K_QUANT_TOKENS = 4


def steady_tokens(tensors: Sequence[Tensor]) -> int:
    """The most tokens in a batch that gives the bits of one token at a time, from 1 to TOKENS_MAX."""
    return min((_of(tensor.kind) for tensor in tensors if len(tensor.dimensions) > 1), default=TOKENS_MAX)


def _of(kind: int) -> int:
    if kind in _PLAIN:
        return TOKENS_MAX
    return K_QUANT_TOKENS if kind in _K_QUANTS else 1
