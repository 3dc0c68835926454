"""The lengths that audits ask for: most from a narrow range or the contract's table, and a share from a long tail.

In the tail the weight of a length is its reciprocal, as in Zipf's law. So each doubling of the length is drawn about
equally often, and no span of long lengths is left out.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

from p2pverify.core.contract.network import Params
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX, USUAL_CONTEXT_TOKENS, RequestShape

#: The weight of length n is this number divided by n, rounded down.
WEIGHT_SCALE = 2**32
_PERMILLE = 1000


def long_length(number: int, usual: int, longest: int) -> int:
    """The length in the tail that a drawn number gives: above `usual`, and at most `longest`, in tokens."""
    sums = _sums(usual, longest)
    return usual + 1 + bisect_right(sums, number % sums[-1])


def prompt_longest(params: Params) -> int:
    """The longest prompt that a slot may have, in tokens, without the template."""
    return max((shape.prompt_to for shape in params.shapes), default=params.prompt_tokens)


def answer_longest(params: Params) -> int:
    """The longest answer that a slot may name, in tokens."""
    named = max((shape.answer_to for shape in params.shapes), default=params.answer_tokens)
    return max(named, params.long_tokens)


def context_tokens(params: Params) -> int:
    """What each member can hold: what the contract makes members ask for, and at least the usual context."""
    return max(USUAL_CONTEXT_TOKENS, prompt_longest(params) + answer_longest(params))


def open_length(params: Params, prompt_tokens: int) -> int:
    """The greatest length of an answer that may be as long as the context allows, after such a prompt, in tokens."""
    return min(ANSWER_TOKENS_MAX, max(1, context_tokens(params) - prompt_tokens))


def expected_tokens(params: Params) -> Fraction:
    """The mean of the greatest length of an audit's answer, in tokens."""
    share, usual = Fraction(params.long_permille, _PERMILLE), _expected_usual(params)
    return (1 - share) * usual + share * expected_long_tokens(params) if share else usual


def long_share(params: Params) -> Fraction:
    """The share of the slots that are long."""
    tail = Fraction(params.long_permille, _PERMILLE)
    total = sum(shape.weight for shape in params.shapes) or 1
    above = sum((shape.weight * _share_above(shape, params.answer_tokens) for shape in params.shapes), Fraction(0))
    return tail + (1 - tail) * above / total


def _share_above(shape: RequestShape, usual: int) -> Fraction:
    if shape.is_open:
        return Fraction(1)
    count = shape.answer_to - shape.answer_from + 1
    return Fraction(min(count, max(0, shape.answer_to - usual)), count)


def _expected_usual(params: Params) -> Fraction:
    """The mean outside of the tail. A prompt in an open shape has its mean length, and a template of no tokens."""
    if not params.shapes:
        return params.answer_tokens - Fraction(params.answer_spread, 2)
    total = sum(shape.weight for shape in params.shapes)
    return sum((shape.weight * _mean(params, shape) for shape in params.shapes), Fraction(0)) / total


def _mean(params: Params, shape: RequestShape) -> Fraction:
    if not shape.is_open:
        return Fraction(shape.answer_from + shape.answer_to, 2)
    prompts = range(shape.prompt_from, shape.prompt_to + 1)
    return Fraction(sum(open_length(params, size) for size in prompts), len(prompts))


def expected_long_tokens(params: Params) -> Fraction:
    """The mean of the lengths in the tail, in tokens. The contract must have a tail."""
    total = sum(n * (WEIGHT_SCALE // n) for n in range(params.answer_tokens + 1, params.long_tokens + 1))
    return Fraction(total, _sums(params.answer_tokens, params.long_tokens)[-1])


@lru_cache(maxsize=16)
def _sums(usual: int, longest: int) -> tuple[int, ...]:
    """The sums of the weights of the lengths above `usual`, up to each of them."""
    return tuple(accumulate(WEIGHT_SCALE // n for n in range(usual + 1, longest + 1)))
