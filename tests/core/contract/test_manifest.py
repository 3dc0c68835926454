"""Manifests: their strict bytes, and the classes that follow from golden vectors. The vectors hold faulty bytes."""

from dataclasses import replace

import pytest
from hypothesis import given

from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenPath, golden_answer
from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, Canary, Manifest, decode_manifest
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX
from tests.support.manifests import manifests

PLAIN = Manifest("m", bytes(32), bytes(32), bytes(32), "q", "l", "p", None)
QUESTION = Ask((1, 2), 4, 0, bytes(32))
NO_LOGITS = bytes(32)


def path(name: str, *answers: tuple[bytes, bytes]) -> GoldenPath:
    return GoldenPath("engine", name, tuple(GoldenAnswer(*answer) for answer in answers))


@given(manifests)
def test_bytes_are_read_back(manifest: Manifest) -> None:
    """Every well-formed manifest is read back from its bytes, and its digest is the digest of these bytes."""
    assert decode_manifest(manifest.encode()) == manifest
    assert replace(manifest, model=manifest.model + "x").digest != manifest.digest


def test_a_manifest_fits_a_record() -> None:
    """The largest manifest fits into a payload. One canary more is refused."""
    assert MANIFEST_BYTES_MAX < PAYLOAD_BYTES_MAX
    canaries = tuple(Canary(number.to_bytes(32, "big"), 16, ()) for number in range(256))
    assert len(decode_manifest(replace(PLAIN, canaries=canaries).encode()).canaries) == 256
    more = (*canaries, Canary(b"\1" * 32, 16, ()))
    with pytest.raises(DecodeError, match="more than 256 items"):
        decode_manifest(replace(PLAIN, canaries=more).encode())
    long = replace(
        PLAIN, golden=Golden((QUESTION,), tuple(path(f"{n:0128}", (b"t" * 32, b"l" * 32)) for n in range(64)))
    )
    assert len(decode_manifest(long.encode()).golden.paths) == 64
    with pytest.raises(DecodeError, match="too long"):
        decode_manifest(replace(long, model="x" * MANIFEST_BYTES_MAX).encode())


def test_a_digest_of_tokens_covers_how_the_answer_ended() -> None:
    """Another token, order, or end is another answer."""
    digests = {golden_answer(Output(*said)).tokens for said in (((1, 2), "stop"), ((2, 1), "stop"), ((1, 2), "length"))}
    assert len(digests) == 3


def test_equal_answers_are_one_class_and_paths_without_logits_are_none() -> None:
    """Paths with equal answers are one class, named by the first path. A path without logits is in no class."""
    one, two = (b"t" * 32, b"1" * 32), (b"t" * 32, b"2" * 32)
    golden = Golden((QUESTION,), (path("a", two), path("b", one), path("c", one), path("d", (b"t" * 32, NO_LOGITS))))
    assert [found.numeric_path for found in golden.distinct()] == ["a", "b"]


def test_merging_replaces_by_name_and_keeps_the_order() -> None:
    """The results of another machine replace entries in place."""
    old, new = path("b", (b"o" * 32, b"o" * 32)), path("b", (b"n" * 32, b"n" * 32))
    first = path("a", (b"a" * 32, b"a" * 32))
    assert Golden((QUESTION,), (old,)).merged([new, first]).paths == (first, new)
