"""Cases of releases' statements and of recipes."""

from dataclasses import replace
from pathlib import Path

from vectorgen.case import Case, changed
from vectorgen.examples import MANIFEST, NETWORK_ID

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.recipe import (
    LAYER_MAX,
    LAYERS_MAX,
    MERGE_WEIGHT_MAX,
    PARENTS_MAX,
    Convert,
    Merge,
    Prune,
    Quantise,
    decode_recipe,
    encode_recipe,
)
from p2pverify.core.contract.history.release import (
    RELEASE_BYTES_MAX,
    RELEASE_FILES_MAX,
    How,
    Release,
    decode_statement,
)
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError

PARENT, OTHER = MANIFEST.digest, sha256(b"another model")
OWN = replace(MANIFEST, weights=sha256(b"quantised weights"), quantisation="Q5_0", parent=PARENT)
RECIPE = encode_recipe(Quantise("q5_0"))
FILE = FileEntry("model.gguf", 104_997_952, OWN.weights, sha256(b"chunk list"))
RELEASE = Release(0, 2, OWN.encode(), (PARENT,), How.QUANTISE, RECIPE, (FILE,), sha256(b"bundle"))
STATEMENT = RELEASE.statement(NETWORK_ID)
A, B = sorted((PARENT, OTHER))
MERGE = Merge(((A, 3), (B, -1)), 2, "f16")


def cases() -> dict[Path, list[Case]]:
    return {Path("release-statement"): statements(), Path("recipe"): recipes()}


def _statement(comment: str, data: Release | bytes, reason: str | None = None) -> Case:
    given = data if isinstance(data, bytes) else data.statement(NETWORK_ID)
    try:
        network, release = decode_statement(given)
        assert release.statement(network) == given
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "reject"
    return {"comment": comment, "input": {"statement": given.hex()}, "expect": expect, "reason": reason}


def _recipe(comment: str, value: object, reason: str | None = None) -> Case:
    given = value if isinstance(value, bytes) else encode(value)
    try:
        assert encode_recipe(decode_recipe(given)) == given
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "reject"
    return {"comment": comment, "input": {"recipe": given.hex()}, "expect": expect, "reason": reason}


def statements() -> list[Case]:
    value = decode(STATEMENT, size_max=RELEASE_BYTES_MAX)
    assert isinstance(value, list)
    many = tuple(replace(FILE, path=f"{number:02}") for number in range(RELEASE_FILES_MAX))
    several = "not the number of parents that this way of making takes"
    return [
        _statement("quantised from its parent", RELEASE),
        _statement("the first version", Release(0, 1, MANIFEST.encode(), (), How.INITIAL)),
        _statement("quantised, without a recipe", replace(RELEASE, recipe=None)),
        _statement("pruned", replace(RELEASE, how=How.PRUNE, recipe=encode_recipe(Prune((1, 2))))),
        _statement("converted", replace(RELEASE, how=How.CONVERT, recipe=encode_recipe(Convert("f16")))),
        _statement("merged", replace(RELEASE, how=How.MERGE, parents=(A, B), recipe=encode_recipe(MERGE))),
        _statement("fine-tuned from two", replace(RELEASE, how=How.FINE_TUNE, parents=(A, B), recipe=None)),
        _statement("of a round", replace(RELEASE, how=How.ROUND, recipe=None)),
        _statement("with as many files as there may be", replace(RELEASE, files=many)),
        _statement("with a path in a folder", replace(RELEASE, files=(replace(FILE, path="a/b/model.gguf"),))),
        _statement("the last line and number", replace(RELEASE, line=255, number=2**32 - 1)),
        _statement("another domain", encode(changed(value, 0, "p2pverify/release/2")),
                   "not the statement of a release"),
        _statement("nine items", encode(value[:9]), "statement: not 10 items"),
        _statement("a network of 31 bytes", encode(changed(value, 1, bytes(31))), "network: not 32 bytes"),
        _statement("line 256", replace(RELEASE, line=256), "line: above 255"),
        _statement("number 0", replace(RELEASE, number=0), "number is 0: versions are counted from 1"),
        _statement("a manifest that is none", replace(RELEASE, manifest=b"\x80"), "manifest: not 12 items"),
        _statement("no parent", replace(RELEASE, parents=()), several),
        _statement("an initial version with a parent", replace(RELEASE, how=How.INITIAL), several),
        _statement("a merge of one", replace(RELEASE, how=How.MERGE, recipe=None), several),
        _statement("parents in another order", replace(RELEASE, how=How.FINE_TUNE, parents=(B, A)),
                   "parents are not sorted and distinct"),
        _statement("a parent twice", replace(RELEASE, how=How.FINE_TUNE, parents=(A, A)),
                   "parents are not sorted and distinct"),
        _statement("nine parents", replace(RELEASE, parents=tuple(bytes([n]) * 32 for n in range(PARENTS_MAX + 1))),
                   "parents: more than 8 items"),
        _statement("its own parent", replace(RELEASE, parents=(OWN.digest,)), "a release is its own parent"),
        _statement("how 7", encode(changed(value, 6, 7)), "how: above 6"),
        _statement("a recipe of another way", replace(RELEASE, how=How.CONVERT),
                   "the recipe is not one of this way of making"),
        _statement("a fine-tuning with a recipe", replace(RELEASE, how=How.FINE_TUNE),
                   "the recipe is not one of this way of making"),
        _statement("a merge of two with a recipe for three parents",
                   replace(RELEASE, how=How.MERGE, parents=(A, B), recipe=encode_recipe(Merge((
                       *MERGE.parts, (b"\xff" * 32, 1)), 2, "f16"))), "the recipe merges another number of parents"),
        _statement("a recipe that is none", replace(RELEASE, recipe=b"\x00"), "recipe: not an array"),
        _statement("a file twice", replace(RELEASE, files=(FILE, FILE)), "files are not sorted and distinct"),
        _statement("65 files", replace(RELEASE, files=(*many, replace(FILE, path="x"))), "files: more than 64 items"),
        _statement("a path that leads out", replace(RELEASE, files=(replace(FILE, path="../model.gguf"),)),
                   "path: absolute, or with a segment that is empty, '.' or '..'"),
        _statement("files without the weights", replace(RELEASE, files=(replace(FILE, sha256=OTHER),)),
                   "no file is that of the manifest's weights"),
        _statement("an oms that is text", encode(changed(value, 9, "x")), "oms: not a byte string"),
        _statement("too many bytes", bytes(RELEASE_BYTES_MAX + 1), "too long"),
    ]  # fmt: skip


def recipes() -> list[Case]:
    domain, third = "p2pverify/recipe/1", (b"\xff" * 32, MERGE_WEIGHT_MAX - 4)
    parts = [list(part) for part in MERGE.parts]

    def merge(found: object, below: int = 2, form: str = "f16") -> list[object]:
        return [domain, Merge.TOOL, [found, below, form]]

    return [
        _recipe("quantise", RECIPE),
        _recipe("convert", encode_recipe(Convert("bf16"))),
        _recipe("prune one layer", encode_recipe(Prune((0,)))),
        _recipe("prune as many layers as there may be", encode_recipe(Prune(tuple(range(LAYERS_MAX))))),
        _recipe("prune the last layer", encode_recipe(Prune((LAYER_MAX,)))),
        _recipe("merge, with a negative numerator", encode_recipe(MERGE)),
        _recipe("merge of greatest numerators", encode_recipe(Merge((*MERGE.parts, third), MERGE_WEIGHT_MAX, "q4_1"))),
        _recipe("another domain", ["p2pverify/release/1", Quantise.TOOL, ["q5_0"]], "not a recipe"),
        _recipe("a tool that there is not", [domain, "sh", ["true"]], "a recipe of an unknown tool"),
        _recipe("a format for numbers", [domain, Quantise.TOOL, ["f16"]], "format: unknown"),
        _recipe("a format of blocks", [domain, Convert.TOOL, ["q8_0"]], "format: unknown"),
        _recipe("no parameter", [domain, Convert.TOOL, []], "parameters: not 1 items"),
        _recipe("no layer", [domain, Prune.TOOL, [[]]], "layers: empty"),
        _recipe("a layer twice", [domain, Prune.TOOL, [[1, 1]]], "layers are not sorted and distinct"),
        _recipe("too many layers", [domain, Prune.TOOL, [list(range(LAYERS_MAX + 1))]], "layers: more than 256 items"),
        _recipe("a merge of one", merge(parts[:1]), "parts: fewer than 2"),
        _recipe("parts in another order", merge(parts[::-1]), "parts are not sorted and distinct"),
        _recipe("a numerator of 0", merge([[A, 0], [B, 1]]), "numerator: not an integer other than 0"),
        _recipe("a denominator of 0", merge(parts, 0), "denominator is 0"),
        _recipe("not in lowest terms", merge([[A, 6], [B, -2]], 4), "the fractions are not in lowest terms"),
        _recipe("numerators too great", merge([[A, MERGE_WEIGHT_MAX], [B, -1]]), "numerators: above 16384 together"),
        _recipe("too many bytes", bytes(2049), "too long"),
    ]
