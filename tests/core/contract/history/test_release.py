"""Releases: what is read back to the byte, what is refused, and what publishers sign."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.history.recipe import PARENTS_MAX, Convert, Merge, Prune, Quantise, encode_recipe
from p2pverify.core.contract.history.release import (
    RELEASE_LINE_MAX,
    RELEASE_NUMBER_MAX,
    How,
    Release,
    decode_statement,
    read_release,
)
from p2pverify.core.errors import DecodeError
from tests.support.releases import FILE, MANIFEST, PARENT, RELEASE

NETWORK = bytes([9]) * 32
OTHER = bytes([8]) * 32
MERGE = encode_recipe(Merge(((bytes(32), 1), (OTHER, 1)), 2, "f16"))


@pytest.mark.parametrize(
    "release",
    [
        RELEASE,
        Release(0, 1, MANIFEST.encode(), (), How.INITIAL),
        replace(RELEASE, recipe=None, oms=None),
        replace(RELEASE, how=How.PRUNE, recipe=encode_recipe(Prune((1,)))),
        replace(RELEASE, how=How.CONVERT, recipe=encode_recipe(Convert("f16"))),
        replace(RELEASE, how=How.MERGE, parents=(PARENT, OTHER), recipe=MERGE),
        replace(RELEASE, how=How.FINE_TUNE, recipe=None),
        replace(RELEASE, how=How.ROUND, recipe=None, line=RELEASE_LINE_MAX, number=RELEASE_NUMBER_MAX),
        replace(RELEASE, files=(replace(FILE, path="README.md", sha256=OTHER), FILE)),
    ],
)
def test_a_release_is_read_back(release: Release) -> None:
    assert decode_statement(release.statement(NETWORK)) == (NETWORK, release)


def test_a_statement_is_of_one_network_and_covers_every_field() -> None:
    """No two of these statements are equal, so a signature of one holds for no other."""
    others = [
        replace(RELEASE, line=1),
        replace(RELEASE, number=3),
        replace(RELEASE, manifest=replace(MANIFEST, model="other").encode()),
        replace(RELEASE, parents=(OTHER,)),
        replace(RELEASE, how=How.FINE_TUNE, recipe=None),
        replace(RELEASE, recipe=encode_recipe(Quantise("q4_0"))),
        replace(RELEASE, files=()),
        replace(RELEASE, oms=None),
    ]
    statements = {one.statement(NETWORK) for one in (RELEASE, *others)} | {RELEASE.statement(OTHER)}
    assert len(statements) == len(others) + 2


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        (replace(RELEASE, line=RELEASE_LINE_MAX + 1), "line: above"),
        (replace(RELEASE, number=0), "number is 0"),
        (replace(RELEASE, number=RELEASE_NUMBER_MAX + 1), "number: above"),
        (replace(RELEASE, manifest=b"\x80"), "manifest"),
        (replace(RELEASE, parents=()), "number of parents"),
        (replace(RELEASE, parents=(PARENT, OTHER)), "number of parents"),
        (replace(RELEASE, how=How.INITIAL), "number of parents"),
        (replace(RELEASE, how=How.MERGE, recipe=None), "number of parents"),
        (replace(RELEASE, how=How.MERGE, recipe=None, parents=(OTHER, PARENT)), "parents are not sorted"),
        (replace(RELEASE, how=How.MERGE, parents=(PARENT, OTHER, b"\x09" * 32), recipe=MERGE), "another number"),
        (replace(RELEASE, parents=tuple(bytes([n]) * 32 for n in range(PARENTS_MAX + 1))), "parents: more than"),
        (replace(RELEASE, parents=(RELEASE.manifest_digest,)), "its own parent"),
        (replace(RELEASE, how=How.PRUNE), "not one of this way"),
        (replace(RELEASE, how=How.FINE_TUNE), "not one of this way"),
        (replace(RELEASE, recipe=b"\xf6"), "recipe: not an array"),
        (replace(RELEASE, files=(FILE, FILE)), "files are not sorted"),
        (replace(RELEASE, files=(replace(FILE, sha256=OTHER),)), "no file is that"),
        (replace(RELEASE, files=(replace(FILE, path="../tiny.gguf"),)), "path"),
        (replace(RELEASE, oms=b"short"), "oms: not 32 bytes"),
    ],
)
def test_other_releases_are_refused(release: Release, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_statement(release.statement(NETWORK))


def test_a_number_that_no_way_of_making_has_is_refused() -> None:
    value = RELEASE.to_value()
    value[4] = len(How)
    with pytest.raises(DecodeError, match="how: above"):
        read_release(value)  # type: ignore[arg-type]  # the values are those of the codec
