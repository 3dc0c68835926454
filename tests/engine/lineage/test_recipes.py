"""Recipes give the same bytes on every machine, and a lineage is recomputed, claimed or refuted by them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.history.recipe import (
    FLOATS,
    QUANTISATIONS,
    Convert,
    Merge,
    Prune,
    Quantise,
    Recipe,
    encode_recipe,
)
from p2pverify.core.contract.history.release import HOW_OF, Grade, How, Release
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import formats, weights
from p2pverify.engine.gguf.formats import FORMATS, numbers
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.gguf.writer import read_tensor
from p2pverify.engine.lineage.check import Parent, check_lineage, run_recipe
from p2pverify.engine.lineage.merge import NUMBER_LIMIT, merged
from tests.engine.lineage.models import random_tensors, write
from tests.support.releases import MANIFEST

#: SHA-256 of what each recipe makes of `random_tensors(1)`. Another machine must get the same.
DIGESTS = {
    "q8_0": "3d079ec803bac0b40d19199cedb9f81aa27a9d6ab090d467c3fac3bb49b563b0",
    "q5_0": "b052c8b648a8ca3f964c059504aa0ad21d7144c690cc7437fd27ef9c4c2eed66",
    "q5_1": "614201b47b20afde3b7b19add72e677593737eeeb64edfe9e03a7087a26c99c5",
    "q4_0": "6a87de98a567ef5fffc0d3f278ead78f9088740924567962e97fa9329fa4b203",
    "q4_1": "815a3f60a2f05deae3ee1a1c2dc4095f8a2fde38c86f1d1c26ed0c6c196f1a1b",
    "f32": "ab9aae09a1dd82dabb6b342c1c1820a5d465cb146dcef1f77a2127456492d25a",
    "f16": "5b20fa7b29814ce9d51b3257c9f0bcced03ed3458a6cba806fe98646fde02322",
    "bf16": "4d971e254cef8a747820c42c9eb63a0bef7ba0dde19873bb2985a9dbf4bce4b8",
    "prune": "a81572873f72e178a49012c9c5d57f21363a234a850f56203120416da88f4da8",
    "merge": "77e859f1966585dc13d41a510d95ac984eb52c44f94b789a39a1f09332f970e6",
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two models of one shape."""
    return [write(tmp_path / f"{seed}.gguf", random_tensors(seed), name=f"model {seed}") for seed in (1, 2)]


def _merge(files: list[Path], numerators: tuple[int, ...] = (1, 2), form: str = "f16") -> Merge:
    parts = sorted(zip((weights.check(file, None) for file in files), numerators, strict=True))
    return Merge(tuple(parts), sum(numerators), form)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    head, data = read_head(path), path.read_bytes()
    return {
        one.name: numbers(read_tensor(data, head, one), one.name, one.kind, one.dimensions)  # type: ignore[arg-type]
        for one in head.tensors
    }


def _recipe(name: str, files: list[Path]) -> Recipe:
    if name == "merge":
        return _merge(files)
    if name == "prune":
        return Prune((0,))
    return Convert(name) if name in FLOATS else Quantise(name)


@pytest.mark.parametrize("name", DIGESTS)
def test_a_recipe_gives_known_bytes(name: str, files: list[Path], tmp_path: Path) -> None:
    recipe = _recipe(name, files)
    parents = files if isinstance(recipe, Merge) else files[:1]
    assert run_recipe(recipe, parents, tmp_path / "made.gguf").hex() == DIGESTS[name]
    assert run_recipe(recipe, parents[::-1], tmp_path / "again.gguf").hex() == DIGESTS[name]


def test_every_format_of_the_contract_can_be_written() -> None:
    assert set(FORMATS) == {*FLOATS, *QUANTISATIONS}
    assert {name: one.block for name, one in FORMATS.items() if one.block == 1} == dict.fromkeys(FLOATS, 1)


def test_a_conversion_covers_the_embedding_and_keeps_vectors(files: list[Path], tmp_path: Path) -> None:
    """To 32 bits and back loses nothing, and 16 bits round to the nearest."""
    made, back = tmp_path / "made.gguf", tmp_path / "back.gguf"
    run_recipe(Convert("f16"), files[:1], made)
    kinds = {tensor.name: tensor.kind for tensor in read_head(made).tensors}
    assert {name for name, kind in kinds.items() if kind == GGMLQuantizationType.F16} == {
        name for name, rows in random_tensors(1).items() if rows.ndim > 1
    }
    assert read_head(made).quantisation == "F16"
    run_recipe(Convert("f32"), [made], back)
    for name, rows in _tensors(back).items():
        before = random_tensors(1)[name]
        wanted = before.astype(np.float16) if before.ndim > 1 else before
        assert (rows == wanted.reshape(rows.shape)).all()


def test_a_merge_is_the_rounded_rational_sum(files: list[Path], tmp_path: Path) -> None:
    """The numbers are multiples of 2^-12, so only the quotient and the last float round."""
    recipe = _merge(files, (3, -1), "f32")
    run_recipe(recipe, files, tmp_path / "made.gguf")
    numerators = dict(recipe.parts)
    one, two = (numerators[weights.check(file, None)] for file in files)
    first, second = (_tensors(file) for file in files)
    for name, rows in _tensors(tmp_path / "made.gguf").items():
        for got, a, b in zip(rows.flat, first[name].flat, second[name].flat, strict=True):
            exact = (one * Fraction(float(a)) + two * Fraction(float(b))) / recipe.denominator
            assert np.float32(round(exact * 2**36)) * np.float32(2**-36) == got


_floats = st.floats(-NUMBER_LIMIT, NUMBER_LIMIT, width=32, exclude_min=True, exclude_max=True)


@given(st.lists(st.tuples(_floats, st.integers(-2048, 2048)), min_size=2, max_size=8), st.integers(1, 2**14))
@settings(max_examples=60)
def test_sums_are_exact_whatever_their_order(parts: list[tuple[float, int]], denominator: int) -> None:
    """Python's integers say the same as numpy's, up to the greatest numbers and numerators."""
    rows = [(np.array([[number]], np.float32), numerator) for number, numerator in parts]
    total = sum(round(Fraction(number) * 2**36) * numerator for number, numerator in parts)
    wanted = np.float32(round(Fraction(total, denominator))) * np.float32(2**-36)
    assert merged(rows, denominator)[0, 0] == wanted == merged(rows[::-1], denominator)[0, 0]


@pytest.mark.parametrize("name", QUANTISATIONS)
def test_blocks_are_near_their_numbers_and_do_not_depend_on_signs_of_zero(name: str) -> None:
    """The error is at most a step. Numbers that are almost nothing count as 0, and -0 is 0."""
    form = FORMATS[name]
    rows = random_tensors(3)["blk.0.attn_q.weight"]
    back = dequantize(np.frombuffer(form.bytes_of("x", rows), np.uint8).reshape(64, -1), form.kind)
    steps = {"q8_0": 254, "q5_0": 31, "q5_1": 31, "q4_0": 15, "q4_1": 15}
    assert np.abs(back - rows).max() <= 2.1 / steps[name]
    nothing = np.zeros((1, 64), np.float32)
    zero = form.bytes_of("x", nothing)
    for tiny in (-nothing, nothing - np.float32(1e-40), nothing + np.float32(2.0**-100)):
        assert form.bytes_of("x", tiny) == zero


@pytest.mark.parametrize(
    ("name", "number"),
    [("f16", 65_505.0), ("q8_0", -1e6), ("f32", np.inf), ("q4_1", np.nan), ("bf16", 3.4e38)],
)
def test_numbers_that_a_format_cannot_hold_are_refused(name: str, number: float) -> None:
    with pytest.raises(WeightsError, match="cannot hold"):
        FORMATS[name].bytes_of("x", np.full((1, 32), number, np.float32))


def test_recipes_that_do_not_fit_the_parents_are_refused(files: list[Path], tmp_path: Path) -> None:
    """No file is left."""
    heads = write(tmp_path / "heads.gguf", random_tensors(2), heads=4)
    tensors = random_tensors(2)
    fewer = write(tmp_path / "fewer.gguf", {name: tensors[name] for name in list(tensors)[:-1]})
    large = write(tmp_path / "large.gguf", {**tensors, "output_norm.weight": np.full(64, NUMBER_LIMIT, np.float32)})
    odd = write(tmp_path / "odd.gguf", {"blk.0.attn_q.weight": np.zeros((4, 33), np.float32)})
    before = set(tmp_path.iterdir())
    target = tmp_path / "made.gguf"
    for recipe, parents, reason in (
        (_merge([files[0], heads]), [files[0], heads], "metadata differ"),
        (_merge([files[0], fewer]), [files[0], fewer], "names or dimensions"),
        (_merge([files[0], large]), [files[0], large], "cannot take"),
        (_merge(files), files[:1], "not one of the parents"),
        (Quantise("q8_0"), files, "takes one parent"),
        (Quantise("q8_0"), [odd], "multiple of 32"),
        (Prune((2,)), files[:1], "cannot leave out"),
        (Convert("f16"), [tmp_path / "nowhere.gguf"], "cannot read"),
    ):
        with pytest.raises(WeightsError, match=reason):
            run_recipe(recipe, parents, target)
    assert set(tmp_path.iterdir()) == before


# ---------------------------------------------------------------- check_lineage


@pytest.fixture
def release(files: list[Path], tmp_path: Path) -> Release:
    """The release of the first model, quantised; its file is made.gguf."""
    made = run_recipe(Quantise("q5_0"), files[:1], tmp_path / "made.gguf")
    parent = replace(MANIFEST, weights=weights.check(files[0], None))
    manifest = replace(MANIFEST, weights=made)
    return Release(0, 2, manifest.encode(), (parent.digest,), How.QUANTISE, encode_recipe(Quantise("q5_0")))


def _parent(file: Path) -> Parent:
    return Parent(replace(MANIFEST, weights=weights.check(file, None)), file)


def test_a_lineage_is_recomputed(release: Release, files: list[Path], tmp_path: Path) -> None:
    heard: list[str] = []
    found = check_lineage(
        release,
        [_parent(files[1]), _parent(files[0])],
        tmp_path / "made.gguf",
        scratch=tmp_path,
        progress=lambda stage, done, total: heard.append(stage),
    )
    assert (found.grade, found.is_refuted) == (Grade.RECOMPUTED, False)
    assert set(heard) == {"checking weights", "writing tensors"}
    assert not list(tmp_path.glob("p2pverify-lineage-*"))


def test_a_merge_finds_its_parents_by_their_digests(files: list[Path], tmp_path: Path) -> None:
    """Whatever their order. A recipe over a file of another parent cannot be run, which refutes nothing."""
    recipe = _merge(files, (5, -2))
    made = run_recipe(recipe, files, tmp_path / "made.gguf")
    parents = [_parent(file) for file in files]
    digests = tuple(sorted(parent.manifest.digest for parent in parents))
    manifest = replace(MANIFEST, weights=made).encode()
    release = Release(0, 3, manifest, digests, How.MERGE, encode_recipe(recipe))
    for order in (parents, parents[::-1]):
        assert check_lineage(release, order).grade is Grade.RECOMPUTED
    other = replace(recipe, parts=(recipe.parts[0], (b"\xff" * 32, -2)))
    found = check_lineage(replace(release, recipe=encode_recipe(other)), parents)
    assert (found.grade, found.is_refuted) == (Grade.CLAIMED, False)
    assert "not one of the parents" in found.reason


def test_a_false_lineage_is_refuted(release: Release, files: list[Path], tmp_path: Path) -> None:
    """Another recipe, and a file with one changed byte."""
    parents = [_parent(files[0])]
    other = replace(release, recipe=encode_recipe(Quantise("q4_0")))
    found = check_lineage(other, parents)
    assert (found.grade, found.is_refuted) == (Grade.CLAIMED, True)
    assert "gguf-quantise/1 gives a file of SHA-256" in found.reason
    made = tmp_path / "made.gguf"
    data = bytearray(made.read_bytes())
    data[-1] ^= 1
    made.write_bytes(data)
    found = check_lineage(release, parents, made)
    assert (found.is_refuted, found.reason) == (
        True,
        "the file is not that of the release: it has another SHA-256",
    )


def test_what_cannot_be_computed_is_claimed(release: Release, files: list[Path], tmp_path: Path) -> None:
    wrong = Parent(_parent(files[0]).manifest, files[1])
    unrun = replace(release, how=How.PRUNE, recipe=encode_recipe(Prune((9,))))
    for one, parents, reason in (
        (release, [], "1 of the parents' files is not at hand"),
        (release, [_parent(files[1])], "1 of the parents' files is not at hand"),
        (release, [wrong], "is not the file of the parent"),
        (replace(release, recipe=None), [_parent(files[0])], "no recipe"),
        (unrun, [_parent(files[0])], "cannot be run"),
    ):
        found = check_lineage(one, parents)
        assert (found.grade, found.is_refuted) == (Grade.CLAIMED, False)
        assert reason in found.reason


def test_a_decided_version_needs_no_parents(release: Release, tmp_path: Path) -> None:
    """But its file must be its file."""
    decided = replace(release, how=How.ROUND, recipe=None)
    assert check_lineage(decided, [], tmp_path / "made.gguf", is_decided=True).grade is Grade.DECIDED
    assert check_lineage(decided, [], tmp_path / "1.gguf", is_decided=True).is_refuted
    assert check_lineage(decided, []).grade is Grade.CLAIMED


def test_each_tool_has_a_way_of_making() -> None:
    assert set(HOW_OF.values()) == {How.QUANTISE, How.PRUNE, How.CONVERT, How.MERGE}
    assert np.finfo(np.float16).max == formats.HALF_MAX
