"""Papers: statements about a line that its publishers sign one after another, before any peer publishes them.

A paper is a JSON file with the payload of a record. It is made with its first signature, and each further publisher
adds one. So a publisher's key need not lie on a machine of the network.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from p2pverify.core.contract.history.lines import PUBLISHERS_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX
from p2pverify.core.records.payloads.lines.recall import Recall, decode_recall
from p2pverify.core.records.payloads.lines.release import SignedRelease, decode_signed_release
from p2pverify.core.records.payloads.lines.rotation import Rotation, decode_rotation
from p2pverify.core.records.payloads.lines.signatures import sign_statement
from p2pverify.node.files.home import atomic_file
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.reports.documents.jsonform import DocumentError, parse, written
from p2pverify.node.reports.documents.shape import ApiDocument

PAPER_BYTES_MAX = 2 * PAYLOAD_BYTES_MAX + 4096
KEY_FILE_BYTES_MAX = 4096
SEED_BYTES = 32
PaperKind = Literal["release", "recall", "rotation"]
Said: TypeAlias = SignedRelease | Recall | Rotation
_GET_AGAIN = "get the file again from whoever made it with 'p2pverify model publish', 'recall' or 'publishers'"
_DECODERS: Mapping[PaperKind, Callable[[bytes], Said]] = {
    "release": decode_signed_release,
    "recall": decode_recall,
    "rotation": decode_rotation,
}


@dataclass(frozen=True, kw_only=True)
class PaperDocument(ApiDocument):
    """The file: the network's id and the payload of the record, in hexadecimal digits."""

    schema: Literal["p2pverify/paper/1"]
    kind: PaperKind
    network: str
    payload: str


@dataclass(frozen=True, slots=True)
class Paper:
    """What publishers sign, in the network of this id (32 B), with the signatures so far."""

    kind: PaperKind
    network: bytes
    said: Said

    @property
    def line(self) -> int:
        """The index of the line."""
        return self.said.release.line if isinstance(self.said, SignedRelease) else self.said.line

    @property
    def statement(self) -> bytes:
        """The bytes that each publisher signs."""
        said = self.said.release if isinstance(self.said, SignedRelease) else self.said
        return said.statement(self.network)

    @property
    def payload(self) -> bytes:
        return self.said.encode()

    @property
    def signers(self) -> tuple[bytes, ...]:
        return tuple(key for key, _ in self.said.signatures)

    @property
    def holds(self) -> bool:
        """Whether every signature is one of its key."""
        return all(sign.verify(key, self.statement, signed) for key, signed in self.said.signatures)

    def signed_with(self, seed: bytes) -> "Paper":
        """The paper with a further signature. Raises ValueError if there would be too many."""
        known = dict(self.said.signatures) | dict(sign_statement(self.statement, [seed]))
        if len(known) > PUBLISHERS_MAX:
            raise ValueError(f"it has {PUBLISHERS_MAX} signatures already")
        return replace(self, said=replace(self.said, signatures=tuple(sorted(known.items()))))


def kind_of_said(said: Said) -> PaperKind:
    """The kind of record that a statement goes into."""
    if isinstance(said, SignedRelease):
        return "release"
    return "recall" if isinstance(said, Recall) else "rotation"


def new_paper(network: bytes, said: Said, seed: bytes) -> Paper:
    """A paper with its first signature, by the key of this seed (32 B)."""
    return Paper(kind_of_said(said), network, said).signed_with(seed)


def dump_paper(paper: Paper) -> bytes:
    """The file of a paper."""
    document = PaperDocument(
        schema="p2pverify/paper/1", kind=paper.kind, network=paper.network.hex(), payload=paper.payload.hex()
    )
    return json.dumps(written(document), indent=1).encode() + b"\n"


def decode_paper(data: bytes) -> Paper:
    """Read the file of a paper. Raises DecodeError, also if a signature does not hold."""
    try:
        document = parse(PaperDocument, data)
        network, payload = bytes.fromhex(document.network), bytes.fromhex(document.payload)
    except (DocumentError, ValueError):
        raise DecodeError("not a statement of publishers") from None
    if len(network) != 32 or (document.network, document.payload) != (network.hex(), payload.hex()):
        raise DecodeError("no id of a network, or not in lower case")
    found = Paper(document.kind, network, _DECODERS[document.kind](payload))
    if not found.signers:
        raise DecodeError("nobody has signed it")
    if not found.holds:
        raise DecodeError("a publisher's signature does not hold")
    return found


def load_paper(path: Path) -> Paper:
    """The paper in a file. Raises FileError."""
    data = read_bytes(path, size_max=PAPER_BYTES_MAX, missing=_GET_AGAIN)
    try:
        return decode_paper(data)
    except DecodeError as error:
        raise FileError(path, error.reason, _GET_AGAIN) from None


# ---------------------------------------------------------------- keys of publishers


def write_key(path: Path, data: bytes) -> None:
    """Write a key into a new file that only its owner may read. Raises FileError."""
    try:
        with atomic_file(path, mode=0o600, replace=False) as file:
            file.write(data)
    except FileExistsError:
        raise FileError(path, "exists already", "name another file; a lost key cannot be made again") from None
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror})", "check the path and its permissions") from None


def load_seed(path: Path) -> bytes:
    """The seed (32 B) of a publisher's key. Raises FileError, also if others may read the file."""
    hint = "make a key with 'p2pverify model publisher-key new FILE'"
    data = read_bytes(path, size_max=KEY_FILE_BYTES_MAX, missing=hint, private=True)
    text = data.strip().decode("ascii", "replace")
    if len(text) != 2 * SEED_BYTES or not all(char in "0123456789abcdef" for char in text):
        raise FileError(path, "is no key of a publisher", hint)
    return bytes.fromhex(text)
