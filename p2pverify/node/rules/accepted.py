"""The amendments that the operator of a home has accepted: a file of its home with one id in each line."""

from pathlib import Path

from p2pverify.core.state.rules.following import Following
from p2pverify.node.files.home import atomic_file
from p2pverify.node.files.textfile import FileError, lines_of, read_bytes, text_of

#: The newest ones; older ones took effect long ago.
ACCEPTED_MAX = 64
_BYTES_MAX = 66 * ACCEPTED_MAX
_DELETE = "delete it; then accept the amendments of 'p2pverify network show --rules' again"
NAME = "amendments"


def read_accepted(home: Path) -> tuple[bytes, ...]:
    """The ids (32 B), oldest first. Raises FileError."""
    path = home / NAME
    if not path.exists():
        return ()
    lines = lines_of(text_of(path, read_bytes(path, size_max=_BYTES_MAX, missing=_DELETE)))
    try:
        found = tuple(bytes.fromhex(line) for line in lines)
    except ValueError:
        found = (b"",)
    if any(len(each) != 32 for each in found):
        raise FileError(path, "a line is no id of an amendment", _DELETE)
    return found


def keep_accepted(home: Path, amendment: bytes) -> None:
    """Add an id to the file. Raises OSError, FileError."""
    known = [each for each in read_accepted(home) if each != amendment]
    with atomic_file(home / NAME, mode=0o600) as file:
        file.write("".join(f"{each.hex()}\n" for each in [*known, amendment][-ACCEPTED_MAX:]).encode())


def read_following(home: Path, *, asks: bool, known: int, referee: str = "") -> Following:
    """What a node of a home follows, with the features (bits) and the referee of its program. Raises FileError."""
    return Following(known=known, asks=asks, accepted=set(read_accepted(home)), referee=referee)
