"""The lengths of answers that audits ask for: most from a narrow range, and a share of them from a long tail.

In the tail the weight of a length is its reciprocal, as in Zipf's law. So each doubling of the length is drawn about
equally often, and no span of long lengths is left out.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

from p2pverify.core.contract.network import Params

#: The weight of length n is this number divided by n, rounded down.
WEIGHT_SCALE = 2**32
_PERMILLE = 1000


def long_length(number: int, usual: int, longest: int) -> int:
    """The length in the tail that a drawn number gives: above `usual`, and at most `longest`, in tokens."""
    sums = _sums(usual, longest)
    return usual + 1 + bisect_right(sums, number % sums[-1])


def expected_tokens(params: Params) -> Fraction:
    """The mean of the greatest length of an audit's answer, in tokens."""
    usual = params.answer_tokens - Fraction(params.answer_spread, 2)
    if not params.long_permille:
        return usual
    share = Fraction(params.long_permille, _PERMILLE)
    return (1 - share) * usual + share * expected_long_tokens(params)


def expected_long_tokens(params: Params) -> Fraction:
    """The mean of the lengths in the tail, in tokens. The contract must have a tail."""
    total = sum(n * (WEIGHT_SCALE // n) for n in range(params.answer_tokens + 1, params.long_tokens + 1))
    return Fraction(total, _sums(params.answer_tokens, params.long_tokens)[-1])


@lru_cache(maxsize=16)
def _sums(usual: int, longest: int) -> tuple[int, ...]:
    """The sums of the weights of the lengths above `usual`, up to each of them."""
    return tuple(accumulate(WEIGHT_SCALE // n for n in range(usual + 1, longest + 1)))
