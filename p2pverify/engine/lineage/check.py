"""Runs recipes, and checks a version's lineage with them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.history.recipe import Convert, Merge, Prune, Quantise, Recipe, decode_recipe
from p2pverify.core.contract.history.release import Grade, Release
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import prune, weights
from p2pverify.engine.gguf.quantise import convert, requantise
from p2pverify.engine.gguf.weights import Progress
from p2pverify.engine.lineage.merge import merge


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent of a version: its manifest, and the file of its weights."""

    manifest: Manifest
    path: Path


@dataclass(frozen=True, slots=True)
class CheckedLineage:
    """How well a version's lineage is known, and why not better. `is_refuted` says that it is shown to be false."""

    grade: Grade
    reason: str
    is_refuted: bool = False


def run_recipe(recipe: Recipe, parents: Sequence[Path], target: Path, progress: Progress | None = None) -> bytes:
    """Make the file of a recipe from the parents' files. Returns its SHA-256 (32 B).

    The target appears complete or not at all. Raises WeightsError if the recipe cannot be run with these files.
    """
    if isinstance(recipe, Merge):
        merge(recipe, {weights.check(path, None, progress): path for path in parents}, target, progress)
    elif len(parents) != 1:
        raise WeightsError(f"{recipe.TOOL} takes one parent, and there are {len(parents)}")
    elif isinstance(recipe, Quantise):
        requantise(parents[0], target, recipe.format, progress)
    elif isinstance(recipe, Convert):
        convert(parents[0], target, recipe.format, progress)
    else:
        assert isinstance(recipe, Prune)
        prune.prune(parents[0], target, recipe.layers)
    return weights.check(target, None, progress)


def check_lineage(
    release: Release,
    parents: Sequence[Parent],
    file: Path | None = None,
    *,
    is_decided: bool = False,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> CheckedLineage:
    """Say how well it is known that a version's weights came from its parents, by running its recipe.

    `file` is the version's own file of weights; if it is given, its digest is checked too. `is_decided` says that a
    round of the network decided the version, which the caller knows from the fold. `scratch` is a folder with room for
    the file that the recipe makes; without it, the system's temporary folder is used. The file is deleted.

    The finding is refuted if the version's file does not have its digest, or if the recipe gives another file; commands
    then end with exit code 5. What could not be computed is never refuted: then the grade is `claimed`. Raises
    WeightsError if a file cannot be read.
    """
    own = decode_manifest(release.manifest).weights
    if file is not None and weights.check(file, None, progress) != own:
        return _refuted("the file is not that of the release: it has another SHA-256")
    if is_decided:
        return CheckedLineage(Grade.DECIDED, "decided by a round of the network")
    if release.recipe is None:
        return CheckedLineage(Grade.CLAIMED, "the release has no recipe, so nothing can be computed again")
    if missing := _missing(release, parents):
        return CheckedLineage(Grade.CLAIMED, f"{missing} of the parents' files is not at hand")
    known = {parent.manifest.digest: parent for parent in parents}
    wanted = [known[digest] for digest in release.parents]
    for parent in wanted:
        if weights.check(parent.path, None, progress) != parent.manifest.weights:
            return CheckedLineage(Grade.CLAIMED, f"{parent.path} is not the file of the parent {parent.manifest.model}")
    with tempfile.TemporaryDirectory(dir=scratch, prefix="p2pverify-lineage-") as folder:
        recipe = decode_recipe(release.recipe)
        try:
            made = run_recipe(recipe, [one.path for one in wanted], Path(folder) / "made.gguf", progress)
        except WeightsError as error:
            return CheckedLineage(Grade.CLAIMED, f"the recipe cannot be run: {error}")
    if made != own:
        return _refuted(f"{recipe.TOOL} gives a file of SHA-256 {made.hex()}, and the release has {own.hex()}")
    return CheckedLineage(Grade.RECOMPUTED, f"{recipe.TOOL} gives this file from the files of the parents")


def _refuted(reason: str) -> CheckedLineage:
    return CheckedLineage(Grade.CLAIMED, reason, is_refuted=True)


def _missing(release: Release, parents: Sequence[Parent]) -> int:
    return len(set(release.parents) - {parent.manifest.digest for parent in parents})
