"""Recipes: how a file of weights follows from its parents' files, so that anybody can compute it again.

A recipe names a tool and its parameters. Each tool is a function with one result for given parents, to the byte.
`protocol/lineage.md` defines the tools, and `engine/lineage` runs them.
"""

from dataclasses import dataclass
from math import gcd
from typing import TypeAlias

from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted, decode, encode
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/recipe/1"
RECIPE_BYTES_MAX = 2048
PARENTS_MAX = 8
LAYERS_MAX = 256
LAYER_MAX = 65_535
#: Bounds the denominator, and the sum of the numerators' absolute values: see the sums in `engine.lineage.merge`.
MERGE_WEIGHT_MAX = 2**14
QUANTISATIONS = ("q8_0", "q5_0", "q5_1", "q4_0", "q4_1")
FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class Quantise:
    """The tool `gguf-quantise/1`: matrices are written in the format, one of QUANTISATIONS."""

    TOOL = "gguf-quantise/1"
    format: str

    def parameters(self) -> list[object]:
        return [self.format]


@dataclass(frozen=True, slots=True)
class Prune:
    """The tool `gguf-prune/1`: these layers are left out. They are sorted and distinct, and there is one at least."""

    TOOL = "gguf-prune/1"
    layers: tuple[int, ...]

    def parameters(self) -> list[object]:
        return [list(self.layers)]


@dataclass(frozen=True, slots=True)
class Convert:
    """The tool `gguf-convert/1`: matrices, with the embedding, become numbers of the type, one of FLOATS."""

    TOOL = "gguf-convert/1"
    format: str

    def parameters(self) -> list[object]:
        return [self.format]


@dataclass(frozen=True, slots=True)
class Merge:
    """The tool `gguf-merge/1`: the sum of the parents' numbers, each times its numerator, over `denominator`.

    `parts` are pairs of a file's SHA-256 (32 B) and its numerator, sorted by digest, two at least. Numerators may be
    negative. The fractions are in lowest terms together, so that equal merges have one recipe. `format` is one of
    FLOATS or QUANTISATIONS.
    """

    TOOL = "gguf-merge/1"
    parts: tuple[tuple[bytes, int], ...]
    denominator: int
    format: str

    def parameters(self) -> list[object]:
        return [[[weights, numerator] for weights, numerator in self.parts], self.denominator, self.format]


Recipe: TypeAlias = Quantise | Prune | Convert | Merge


def encode_recipe(recipe: Recipe) -> bytes:
    """The canonical bytes of a recipe."""
    return encode([DOMAIN, recipe.TOOL, recipe.parameters()])


def decode_recipe(data: bytes) -> Recipe:
    """Read a canonical recipe. Raises DecodeError, also for an unknown tool."""
    domain, tool, parameters = as_array(decode(data, size_max=RECIPE_BYTES_MAX), "recipe", length=3)
    if domain != DOMAIN:
        raise DecodeError("not a recipe")
    if tool == Quantise.TOOL:
        return Quantise(_format(as_array(parameters, "parameters", length=1)[0], QUANTISATIONS))
    if tool == Convert.TOOL:
        return Convert(_format(as_array(parameters, "parameters", length=1)[0], FLOATS))
    if tool == Prune.TOOL:
        return _prune(*as_array(parameters, "parameters", length=1))
    if tool == Merge.TOOL:
        return _merge(*as_array(parameters, "parameters", length=3))
    raise DecodeError("a recipe of an unknown tool")


def _format(value: Value, known: tuple[str, ...]) -> str:
    found = as_text(value, "format", 16)
    if found not in known:
        raise DecodeError("format: unknown")
    return found


def _prune(value: Value) -> Prune:
    layers = tuple(as_uint(item, "layer", LAYER_MAX) for item in as_array(value, "layers", length_max=LAYERS_MAX))
    check_sorted(layers, "layers")
    if not layers:
        raise DecodeError("layers: empty")
    return Prune(layers)


def _merge(parts: Value, denominator: Value, form: Value) -> Merge:
    read = []
    for item in as_array(parts, "parts", length_max=PARENTS_MAX):
        weights, numerator = as_array(item, "part", length=2)
        if type(numerator) is not int or numerator == 0:
            raise DecodeError("numerator: not an integer other than 0")
        read.append((as_bytes(weights, "part's weights", size=32), numerator))
    check_sorted([weights for weights, _ in read], "parts")
    if len(read) < 2:
        raise DecodeError("parts: fewer than 2")
    if sum(abs(numerator) for _, numerator in read) > MERGE_WEIGHT_MAX:
        raise DecodeError(f"numerators: above {MERGE_WEIGHT_MAX} together")
    below = as_uint(denominator, "denominator", MERGE_WEIGHT_MAX)
    if below == 0:
        raise DecodeError("denominator is 0")
    if gcd(below, *(numerator for _, numerator in read)) != 1:
        raise DecodeError("the fractions are not in lowest terms")
    return Merge(tuple(read), below, _format(form, FLOATS + QUANTISATIONS))
