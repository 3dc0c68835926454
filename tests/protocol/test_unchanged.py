"""The vectors stay as they are: another implementation may have been written against them."""

from hashlib import sha256
from pathlib import Path

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
#: Of all vectors, with their names. It changes only together with a row in `protocol/CHANGES.md`.
DIGEST = "d715a6fb39f5f7785758d44f7b1c2869ba5d0628d2feef8bbfc1ef4af5139ca4"


def test_the_vectors_are_those_of_this_version_of_the_protocol() -> None:
    """Whoever moves code must not move bytes."""
    digest = sha256()
    for path in sorted(VECTORS.rglob("*.json")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(VECTORS).as_posix()} {len(content)}\n".encode() + content)
    assert digest.hexdigest() == DIGEST
