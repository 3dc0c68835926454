"""Recipes as people write them, such as `quantise:q5_0` and `merge:2,1:f16`."""

from collections.abc import Sequence
from math import gcd

from p2pverify.core.contract.history.recipe import (
    FLOATS,
    QUANTISATIONS,
    RECIPE_BYTES_MAX,
    Convert,
    Merge,
    Prune,
    Quantise,
    Recipe,
    decode_recipe,
    encode_recipe,
)
from p2pverify.core.encoding.canon import UINT_MAX
from p2pverify.core.errors import DecodeError

_NUMBER_CHARS_MAX = 6


def recipe_of(text: str, weights: Sequence[bytes]) -> Recipe:
    """The recipe that a text names, for parents whose files have these digests (32 B each). Raises ValueError.

    The forms are `quantise:FORMAT`, `convert:FORMAT`, `prune:LAYERS` such as 3,28 or 4-9, and
    `merge:NUMERATORS[/DENOMINATOR]:FORMAT`, with a numerator for each parent. The denominator is the sum of the
    numerators if it is left out.
    """
    way, _, rest = text.partition(":")
    if way == "quantise":
        recipe: Recipe = Quantise(rest)
    elif way == "convert":
        recipe = Convert(rest)
    elif way == "prune":
        recipe = Prune(_layers(rest))
    elif way == "merge":
        recipe = _merge(rest, weights)
    else:
        raise ValueError(f"{text[:80]!r} is none of quantise:FORMAT, convert:FORMAT, prune:LAYERS, merge:...:FORMAT")
    try:
        return decode_recipe(encode_recipe(recipe))
    except DecodeError as error:
        names = ", ".join(FLOATS + QUANTISATIONS)
        raise ValueError(f"{text[:80]!r} is no recipe ({error.reason}); formats are {names}") from None


def _layers(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start = _number(first)
        stop = _number(last) if last else start
        if not 0 <= start <= stop < start + RECIPE_BYTES_MAX:
            raise ValueError(f"{part[:80]!r} is no range of layers")
        found |= set(range(start, stop + 1))
    return tuple(sorted(found))


def _merge(text: str, weights: Sequence[bytes]) -> Merge:
    fractions, _, form = text.rpartition(":")
    above, _, below = fractions.partition("/")
    numerators = [_number(part) for part in above.split(",")]
    if len(numerators) != len(weights):
        raise ValueError(f"{len(numerators)} numerators for {len(weights)} parents")
    denominator = _number(below) if below else sum(numerators)
    common = gcd(denominator, *numerators)
    if not 0 < denominator <= UINT_MAX:
        raise ValueError("the denominator is not above 0")
    parts = sorted(zip(weights, (number // common for number in numerators), strict=True))
    return Merge(tuple(parts), denominator // common, form)


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _NUMBER_CHARS_MAX:
        raise ValueError(f"{text[:80]!r} is not a number")
    return int(text)
