"""A release: one version of a line of models, with what it was made from, how, and its files.

Publishers sign `Release.statement`. The record of a release holds the value and their signatures. Protocol page:
protocol/lineage.md.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from p2pverify.core.contract.history.files import FileEntry, read_file_entry
from p2pverify.core.contract.history.recipe import (
    PARENTS_MAX,
    RECIPE_BYTES_MAX,
    Convert,
    Merge,
    Prune,
    Quantise,
    decode_recipe,
)
from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, decode_manifest
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bytes,
    as_uint,
    check_sorted,
    decode,
    encode,
    sha256,
)
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/release/1"
#: The size of a record's payload: a release that is longer fits no record.
RELEASE_BYTES_MAX = 61_440
RELEASE_FILES_MAX = 64
RELEASE_LINE_MAX = 255
RELEASE_NUMBER_MAX = 2**32 - 1


class How(IntEnum):
    """How a version came from its parents. The numbers are those of the wire."""

    INITIAL = 0
    QUANTISE = 1
    PRUNE = 2
    CONVERT = 3
    MERGE = 4
    FINE_TUNE = 5
    ROUND = 6


class Grade(StrEnum):
    """How well it is known that a version came from its parents as its release says."""

    DECIDED = "decided"  # two thirds of the weight computed it
    RECOMPUTED = "recomputed"  # the recipe was run again, and gave the same bytes
    CLAIMED = "claimed"  # the publishers say so


#: The numbers of parents (fewest, most) of each.
_PARENTS = {
    How.INITIAL: (0, 0),
    How.QUANTISE: (1, 1),
    How.PRUNE: (1, 1),
    How.CONVERT: (1, 1),
    How.MERGE: (2, PARENTS_MAX),
    How.FINE_TUNE: (1, PARENTS_MAX),
    How.ROUND: (1, PARENTS_MAX),
}
#: The way of making that a recipe's tool stands for.
HOW_OF = {Quantise: How.QUANTISE, Prune: How.PRUNE, Convert: How.CONVERT, Merge: How.MERGE}


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a line; fields in wire order.

    `line` is its index in the network's lines, and `number` counts versions from 1. `manifest` has the canonical bytes
    of the version's manifest, and `parents` the digests of the parents' manifests, sorted and distinct. `recipe` has
    the canonical bytes of a recipe that makes the weights from those of the parents; None if there is none. `files`
    are sorted by path. `oms` is the SHA-256 (32 B) of a bundle of OpenSSF Model Signing over the files, if any.
    """

    line: int
    number: int
    manifest: bytes
    parents: tuple[bytes, ...]
    how: How
    recipe: bytes | None = None
    files: tuple[FileEntry, ...] = ()
    oms: bytes | None = None

    def to_value(self) -> list[object]:
        return [
            self.line,
            self.number,
            self.manifest,
            list(self.parents),
            int(self.how),
            self.recipe,
            [file.to_value() for file in self.files],
            self.oms,
        ]

    @property
    def manifest_digest(self) -> bytes:
        """The name of the version (32 B), by which others call it their parent."""
        return sha256(self.manifest)

    def statement(self, network: bytes) -> bytes:
        """What the publishers sign: the canonical bytes of the release in the network of this id (32 B)."""
        return encode([DOMAIN, network, *self.to_value()])


_ITEMS = 8


def read_release(items: list[Value]) -> Release:
    """Read the decoded items of `Release.to_value`. Raises DecodeError."""
    line, number, manifest, parents, how, recipe, files, oms = as_array(items, "release", length=_ITEMS)
    found = Release(
        as_uint(line, "line", RELEASE_LINE_MAX),
        as_uint(number, "number", RELEASE_NUMBER_MAX),
        as_bytes(manifest, "manifest", size_max=MANIFEST_BYTES_MAX),
        tuple(as_bytes(item, "parent", size=32) for item in as_array(parents, "parents", length_max=PARENTS_MAX)),
        _how(how),
        None if recipe is None else as_bytes(recipe, "recipe", size_max=RECIPE_BYTES_MAX),
        tuple(read_file_entry(item) for item in as_array(files, "files", length_max=RELEASE_FILES_MAX)),
        None if oms is None else as_bytes(oms, "oms", size=32),
    )
    if found.number == 0:
        raise DecodeError("number is 0: versions are counted from 1")
    _check_lineage(found)
    weights = decode_manifest(found.manifest).weights
    check_sorted([file.path for file in found.files], "files")
    if found.files and weights not in {file.sha256 for file in found.files}:
        raise DecodeError("no file is that of the manifest's weights")
    return found


def _how(value: Value) -> How:
    number = as_uint(value, "how", max(How))
    return How(number)


def _check_lineage(release: Release) -> None:
    """Raise DecodeError if parents, how and recipe do not fit together."""
    check_sorted(release.parents, "parents")
    fewest, most = _PARENTS[release.how]
    if not fewest <= len(release.parents) <= most:
        raise DecodeError("not the number of parents that this way of making takes")
    if release.manifest_digest in release.parents:
        raise DecodeError("a release is its own parent")
    if release.recipe is None:
        return
    recipe = decode_recipe(release.recipe)
    if HOW_OF[type(recipe)] is not release.how:
        raise DecodeError("the recipe is not one of this way of making")
    if isinstance(recipe, Merge) and len(recipe.parts) != len(release.parents):
        raise DecodeError("the recipe merges another number of parents")


def decode_statement(data: bytes) -> tuple[bytes, Release]:
    """Read a signed statement: the network id (32 B) and the release. Raises DecodeError."""
    top = as_array(decode(data, size_max=RELEASE_BYTES_MAX), "statement", length=2 + _ITEMS)
    if top[0] != DOMAIN:
        raise DecodeError("not the statement of a release")
    return as_bytes(top[1], "network", size=32), read_release(top[2:])
