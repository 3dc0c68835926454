"""Recipes in words."""

from fractions import Fraction

from p2pverify.core.contract.history.recipe import Convert, Merge, Quantise, Recipe

_DIGEST_CHARS = 8


def recipe_words(recipe: Recipe) -> str:
    """What a recipe does."""
    if isinstance(recipe, Quantise):
        return f"quantised to {recipe.format}"
    if isinstance(recipe, Convert):
        return f"converted to {recipe.format}"
    if isinstance(recipe, Merge):
        shares = (f"{Fraction(n, recipe.denominator)} of {file.hex()[:_DIGEST_CHARS]}" for file, n in recipe.parts)
        return f"{' + '.join(shares)}, as {recipe.format}"
    return f"without layers {_ranges(recipe.layers)}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """Sorted numbers, with a range for each run: 3, 7-9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
