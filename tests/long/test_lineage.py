"""Recipes on the bundled model: the same files on every machine. Each takes seconds, because it writes 100 MB."""

from pathlib import Path

import pytest

from p2pverify.core.contract.history.recipe import Convert, Merge, Prune, Quantise, Recipe
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.lineage.check import run_recipe

PRUNED = Prune((3, 28))
MERGED = "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387"
DIGESTS = {
    Quantise("q5_0"): "7c2c0cd19265c73a396d5ac9d7ecc9880644cacc089ecc266556d8b6e415baf7",
    PRUNED: "28de903fcf79755a870e58f6f3966a43795a96fb2aebbf603da03d571b836c52",
    Convert("f16"): "fea43f3ffef83a020894679eb91b2ab0127287d657a7313b47ba9c411dd4d47f",
}


@pytest.mark.parametrize("recipe", DIGESTS, ids=lambda recipe: recipe.TOOL)
def test_a_recipe_gives_the_known_file(recipe: Recipe, tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    assert run_recipe(recipe, [weights.bundled()], target).hex() == DIGESTS[recipe]
    assert read_head(target).tokenizer_sha256() == read_head(weights.bundled()).tokenizer_sha256()
    target.unlink()


def test_a_merge_with_its_own_requantisation_gives_the_known_file(tmp_path: Path) -> None:
    """Parents of different formats, whose numbers are dequantised exactly."""
    other, target = tmp_path / "other.gguf", tmp_path / "made.gguf"
    made = run_recipe(Quantise("q8_0"), [weights.bundled()], other)
    recipe = Merge(tuple(sorted([(weights.SHA256, 2), (made, 1)])), 3, "q8_0")
    assert run_recipe(recipe, [weights.bundled(), other], target).hex() == MERGED
    other.unlink()
    target.unlink()
