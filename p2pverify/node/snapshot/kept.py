"""What a home keeps of snapshots: why it believes the state with which it began, checkpoints, and contradictions.

    trust  contradiction  checkpoints/  state/

The state itself is in the database. `state/` holds the leaves of a download that is not finished. A leaf is checked
before it is written and again when it is read, so a killed download goes on.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from p2pverify.core.encoding import merkle
from p2pverify.core.errors import DecodeError
from p2pverify.core.snapshot.checkpoints import Checkpoints
from p2pverify.core.snapshot.messages import CHECKPOINTS_MAX, LEAF_BYTES_MAX
from p2pverify.core.snapshot.trust import decode_certificate
from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.reports.documents.jsonform import read_part, written
from p2pverify.node.user_error import UserError

_NOTE_BYTES_MAX = 4 * 1024 * 1024
_LENGTH_BYTES = 4
_PRIVATE = 0o600
_N = TypeVar("_N")


class KeptError(UserError):
    """A file of a snapshot in the home is damaged."""


@dataclass(frozen=True, slots=True)
class KeptTrust:
    """Why this home believes the state with which it began.

    `cut` was trusted by its id, which the operator gave, or because `peers` of `asked` first peers in `groups` address
    groups hold it on their paths. `base` is the cut of the fetched state, of `epoch`.
    """

    cut: str
    by: Literal["operator", "bootstrap", "own"]
    base: str
    epoch: int
    peers: int = 0
    asked: int = 0
    groups: int = 0


@dataclass(frozen=True, slots=True)
class KeptContradiction:
    """Two certified cuts that contradict each other, and their certificates or records, all in hex."""

    one: str
    other: str
    proof_of_one: str
    proof_of_other: str

    @property
    def reason(self) -> str:
        return (
            f"cuts {self.one} and {self.other} are both certified, and neither contains the other: at least a third of "
            "the weight signed both"
        )


class SnapshotHome:
    """The files of one home that are about snapshots. Methods block. A method that writes raises OSError."""

    def __init__(self, home: Home) -> None:
        self._path = home.path

    # ------------------------------------------------------------ trust

    def keep_trust(self, trust: KeptTrust) -> None:
        """Keep why the base of this home is believed."""
        _write(self._path / "trust", json.dumps(written(trust)).encode())

    def end_download(self) -> None:
        """Delete what was downloaded for a base that is in the database now, and checkpoints of an earlier path."""
        for name in ("state", "checkpoints"):
            shutil.rmtree(self._path / name, ignore_errors=True)

    def trust(self) -> KeptTrust | None:
        """Why the base is believed; None if this home began with the network file."""
        return self._note("trust", KeptTrust)

    # ------------------------------------------------------------ contradictions

    def contradiction(self) -> KeptContradiction | None:
        return self._note("contradiction", KeptContradiction)

    def keep_contradiction(self, found: KeptContradiction) -> None:
        """Keep a contradiction. The first one stays."""
        if not (self._path / "contradiction").exists():
            _write(self._path / "contradiction", json.dumps(written(found)).encode())

    def settle_contradiction(self) -> None:
        """Put a contradiction aside, because the operator has said which cut to trust."""
        path = self._path / "contradiction"
        if path.exists():
            path.replace(self._path / "contradiction.settled")

    def _note(self, name: str, kind: type[_N]) -> _N | None:
        data = _read(self._path / name, _NOTE_BYTES_MAX)
        if data is None:
            return None
        try:
            return read_part(kind, json.loads(data))
        except (ValueError, RecursionError):
            raise KeptError(f"{self._path / name} is damaged", "restore it from a copy of this home") from None

    # ------------------------------------------------------------ leaves of a download

    def leaves(self) -> dict[bytes, bytes]:
        """The leaves of an unfinished download, by hash. A damaged end is left out."""
        found = {merkle.leaf(leaf): leaf for leaf in read_leaves(self._leaves_path)}
        if self._leaves_path.exists():
            self._leaves_path.unlink()  # written anew, so that nothing follows a damaged end
        self.add_leaves(list(found.values()))
        return found

    def add_leaves(self, leaves: list[bytes]) -> None:
        """Append leaves that were checked."""
        self._leaves_path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._leaves_path.open("ab") as file:
            file.write(b"".join(len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf for leaf in leaves))

    @property
    def _leaves_path(self) -> Path:
        return self._path / "state" / "leaves"

    # ------------------------------------------------------------ checkpoints

    def load_checkpoints(self, into: Checkpoints) -> None:
        """Read the kept certificates. A damaged one is left out."""
        folder = self._path / "checkpoints"
        names = sorted(folder.iterdir())[:CHECKPOINTS_MAX] if folder.is_dir() else []
        for path in names:
            data = _read(path, _NOTE_BYTES_MAX) or b""
            try:
                certificate = decode_certificate(data)
            except DecodeError:
                continue
            into.add(certificate.head.index, certificate.cut.id(certificate.head), data)

    def keep_checkpoints(self, kept: Checkpoints) -> None:
        """Write the certificates that are not here yet, and delete those that are kept no longer."""
        folder = self._path / "checkpoints"
        folder.mkdir(mode=0o700, exist_ok=True)
        names = {f"{index:012d}-{cut.hex()[:16]}": cut for index, cut in kept.listed()}
        for name, cut in names.items():
            if not (folder / name).exists():
                _write(folder / name, kept.get(cut) or b"")
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()


def read_leaves(path: Path) -> Iterator[bytes]:
    """The leaves in a file of an unfinished download, up to the first that is not whole."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
            size = int.from_bytes(head, "big")
            leaf = file.read(size) if size <= LEAF_BYTES_MAX else b""
            if len(leaf) != size:
                return
            yield leaf


def _write(path: Path, data: bytes) -> None:
    with atomic_file(path, mode=_PRIVATE) as file:
        file.write(data)


def _read(path: Path, size_max: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(size_max + 1)
    except FileNotFoundError:
        return None
    if len(data) > size_max:
        raise KeptError(f"{path} is too large", "restore it from a copy of this home")
    return data
