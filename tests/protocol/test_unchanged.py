"""The vectors stay as they are: another implementation may have been written against them."""

from hashlib import sha256
from pathlib import Path

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
#: Of all vectors, with their names. It changes only together with a row in `protocol/CHANGES.md`.
DIGEST = "7dfdbd0298d297e5617879679c819720cd4fb49cbd690fd6cda9dd376aea8444"
DIGEST = "8c899e48b172801dc22d0ab4855973650d2fe9663596791b25d00b670546c9fd"


def test_the_vectors_are_those_of_this_version_of_the_protocol() -> None:
    """Whoever moves code must not move bytes."""
    digest = sha256()
    for path in sorted(VECTORS.rglob("*.json")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(VECTORS).as_posix()} {len(content)}\n".encode() + content)
    assert digest.hexdigest() == DIGEST
