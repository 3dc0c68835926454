"""The vectors stay as they are: another implementation may have been written against them."""

from hashlib import sha256
from pathlib import Path

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
#: Of all vectors, with their names. It changes only together with a row in `protocol/CHANGES.md`.
DIGEST = "c9288184aeb16f0079fc6ab0639d36da0576f37c8bce91b6ce459c26bf307eab"


def test_the_vectors_are_those_of_this_version_of_the_protocol() -> None:
    """Whoever moves code must not move bytes."""
    digest = sha256()
    for path in sorted(VECTORS.rglob("*.json")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(VECTORS).as_posix()} {len(content)}\n".encode() + content)
    assert digest.hexdigest() == DIGEST
