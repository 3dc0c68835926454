"""Recipes: what is read back to the byte, and what is refused."""

from math import gcd

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.history.recipe import (
    DOMAIN,
    FLOATS,
    LAYER_MAX,
    LAYERS_MAX,
    MERGE_WEIGHT_MAX,
    PARENTS_MAX,
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
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError

A, B = bytes(32), bytes([1]) * 32
_numerators = st.integers(-1000, 1000).filter(bool)


@st.composite
def merges(draw: st.DrawFn) -> Merge:
    weights = draw(st.dictionaries(st.binary(min_size=32, max_size=32), _numerators, min_size=2, max_size=PARENTS_MAX))
    below = draw(st.integers(1, MERGE_WEIGHT_MAX))
    assume(gcd(below, *weights.values()) == 1)
    return Merge(tuple(sorted(weights.items())), below, draw(st.sampled_from(FLOATS + QUANTISATIONS)))


_layers = st.sets(st.integers(0, LAYER_MAX), min_size=1, max_size=9).map(lambda found: tuple(sorted(found)))
recipes = st.one_of(
    st.builds(Quantise, st.sampled_from(QUANTISATIONS)),
    st.builds(Convert, st.sampled_from(FLOATS)),
    st.builds(Prune, _layers),
    merges(),
)


@given(recipes)
@settings(deadline=None, max_examples=100)
def test_a_recipe_is_read_back(recipe: Recipe) -> None:
    assert decode_recipe(encode_recipe(recipe)) == recipe


def test_the_longest_recipes_fit() -> None:
    parts = tuple((bytes([number]) * 32, MERGE_WEIGHT_MAX // PARENTS_MAX) for number in range(PARENTS_MAX))
    layers = tuple(range(LAYER_MAX - LAYERS_MAX, LAYER_MAX))
    for recipe in (Merge(parts, MERGE_WEIGHT_MAX - 1, "q8_0"), Prune(layers)):
        assert len(encode_recipe(recipe)) <= RECIPE_BYTES_MAX
        assert decode_recipe(encode_recipe(recipe)) == recipe


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["p2pverify/recipe/2", Quantise.TOOL, ["q5_0"]], "not a recipe"),
        ([DOMAIN, "sh", ["rm"]], "unknown tool"),
        ([DOMAIN, 7, []], "unknown tool"),
        ([DOMAIN, Quantise.TOOL, ["q5_0", 1]], "parameters: not 1 items"),
        ([DOMAIN, Quantise.TOOL, ["f16"]], "format: unknown"),
        ([DOMAIN, Quantise.TOOL, ["Q5_0"]], "format: unknown"),
        ([DOMAIN, Convert.TOOL, ["q8_0"]], "format: unknown"),
        ([DOMAIN, Prune.TOOL, [[]]], "layers: empty"),
        ([DOMAIN, Prune.TOOL, [[2, 1]]], "layers are not sorted"),
        ([DOMAIN, Prune.TOOL, [[1, 1]]], "layers are not sorted"),
        ([DOMAIN, Prune.TOOL, [[LAYER_MAX + 1]]], "layer: above"),
        ([DOMAIN, Prune.TOOL, [list(range(LAYERS_MAX + 1))]], "layers: more than"),
        ([DOMAIN, Merge.TOOL, [[[A, 1]], 1, "f16"]], "fewer than 2"),
        ([DOMAIN, Merge.TOOL, [[[B, 1], [A, 1]], 2, "f16"]], "parts are not sorted"),
        ([DOMAIN, Merge.TOOL, [[[A, 1], [A, 1]], 2, "f16"]], "parts are not sorted"),
        ([DOMAIN, Merge.TOOL, [[[A, 0], [B, 1]], 2, "f16"]], "numerator"),
        ([DOMAIN, Merge.TOOL, [[[A, True], [B, 1]], 2, "f16"]], "numerator"),
        ([DOMAIN, Merge.TOOL, [[[A, 1], [B, 1]], 0, "f16"]], "denominator is 0"),
        ([DOMAIN, Merge.TOOL, [[[A, 2], [B, 4]], 6, "f16"]], "lowest terms"),
        ([DOMAIN, Merge.TOOL, [[[A, 1], [B, -MERGE_WEIGHT_MAX]], 1, "f16"]], "numerators: above"),
        ([DOMAIN, Merge.TOOL, [[[A, 1], [B, 1]], MERGE_WEIGHT_MAX + 1, "f16"]], "denominator: above"),
        ([DOMAIN, Merge.TOOL, [[[A[1:], 1], [B, 1]], 2, "f16"]], "not 32 bytes"),
        ([DOMAIN, Merge.TOOL, [[[A, 1], [B, 1]], 2, "q3"]], "format: unknown"),
    ],
)
def test_other_recipes_are_refused(value: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_recipe(encode(value))
