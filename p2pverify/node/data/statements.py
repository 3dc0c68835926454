"""The file of a statement: what it is about and the document, with the salts that open its record.

Two homes exchange this file when both sign: the author writes it, the other party adds its signature. It is private.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.data.commitments import SALT_BYTES, commit_document, commit_subject
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import as_array, as_bytes, as_text, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.data import CoSignature, Statement, decode_statement
from p2pverify.node.files.textfile import FileError, read_bytes

STATEMENT_FILE_DOMAIN = "p2pverify/statement-file/1"
DOCUMENT_BYTES_MAX = 1024 * 1024
SUBJECT_BYTES_MAX = 1024
STATEMENT_FILE_BYTES_MAX = DOCUMENT_BYTES_MAX + 8192
_NO_SIGNATURE = bytes(64)


@dataclass(frozen=True, slots=True)
class OpenStatement:
    """A statement with all that its record is committed to.

    `other` is the key of the party that shall sign too, empty if there is none. `signature` is its signature, empty
    until it signs.
    """

    network: bytes
    author: bytes
    profile: str
    subject: str
    subject_salt: bytes
    document: bytes
    document_salt: bytes
    parents: tuple[bytes, ...] = ()
    other: bytes = b""
    signature: bytes = b""

    @property
    def statement(self) -> Statement:
        """What the record says."""
        other = CoSignature(self.other, self.signature or _NO_SIGNATURE) if self.other else None
        subject = commit_subject(self.subject_salt, self.subject)
        return Statement(self.profile, subject, commit_document(self.document_salt, self.document), self.parents, other)

    @property
    def waits(self) -> bool:
        """Whether the other party has still to sign."""
        return bool(self.other) and not self.signature

    @property
    def holds(self) -> bool:
        """Whether the other party's signature holds, if there shall be one."""
        return not self.other or self.statement.is_cosigned(self.network, self.author)

    def signed_by(self, seed: bytes) -> "OpenStatement":
        """The statement with the other party's signature; `seed` is the secret of its identity."""
        return replace(self, signature=sign.sign(seed, self.statement.signed_bytes(self.network, self.author)))

    def encode(self) -> bytes:
        head = [STATEMENT_FILE_DOMAIN, self.network, self.author, self.profile, self.subject, self.subject_salt]
        return encode([*head, self.document, self.document_salt, list(self.parents), self.other, self.signature])


def decode_open_statement(data: bytes) -> OpenStatement:
    """Read the file of a statement. Raises DecodeError. The other party's signature is not checked here."""
    items = as_array(decode(data, size_max=STATEMENT_FILE_BYTES_MAX, depth_max=2), "statement", length=11)
    if items[0] != STATEMENT_FILE_DOMAIN:
        raise DecodeError("not the file of a statement")
    found = OpenStatement(
        as_bytes(items[1], "network", size=32),
        as_bytes(items[2], "author", size=32),
        as_text(items[3], "profile", 64),
        as_text(items[4], "subject", SUBJECT_BYTES_MAX),
        as_bytes(items[5], "subject's salt", size=SALT_BYTES),
        as_bytes(items[6], "document", size_max=DOCUMENT_BYTES_MAX),
        as_bytes(items[7], "document's salt", size=SALT_BYTES),
        tuple(as_bytes(item, "parent", size=32) for item in as_array(items[8], "parents")),
        as_bytes(items[9], "other party", size_max=32),
        as_bytes(items[10], "signature", size_max=64),
    )
    if len(found.other) not in (0, 32) or len(found.signature) not in (0, 64) or (found.signature and not found.other):
        raise DecodeError("the other party's key and signature do not fit together")
    decode_statement(found.statement.encode())
    return found


def new_salt() -> bytes:
    """A salt that nobody can guess: 32 random bytes."""
    return os.urandom(SALT_BYTES)


def load_statement(path: Path) -> OpenStatement:
    """Read the file of a statement. Raises FileError."""
    missing = "'p2pverify statement sign' writes such files"
    try:
        return decode_open_statement(read_bytes(path, size_max=STATEMENT_FILE_BYTES_MAX, missing=missing))
    except DecodeError as error:
        raise FileError(path, error.reason, "get the file again from its author") from None
