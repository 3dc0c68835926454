"""llama.cpp's builds for old processors, which take long to answer the golden questions."""

import pytest

from tests.support import builds


@pytest.mark.parametrize(
    ("variant", "path", "is_known"),
    [("sse42", "x86-64-sse3/fa1/kv-q8_0", True), ("sandybridge", "x86-64-avx/fa1/kv-q8_0", False)],
)
def test_the_class_follows_from_the_bits(variant: str, path: str, is_known: bool) -> None:
    """For AVX alone, decoding and one pass give different bits, so that build is in no class."""
    builds.check_class(variant, path, is_known=is_known)
