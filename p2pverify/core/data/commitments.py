"""Salted commitments: 32 bytes that say nothing of what they stand for, until somebody shows it with its salt.

Each thing has a salt of its own, so that one can be shown, or destroyed, without the others. Protocol page:
protocol/data.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import digest

SALT_BYTES = 32
#: Stands for an erased row among the commitments of a data set. No row and salt have this digest.
ERASED_ROW = bytes(32)
ROW_DOMAIN = "p2pverify/row/1"
CARD_DOMAIN = "p2pverify/card/1"
SUBJECT_DOMAIN = "p2pverify/subject/1"
DOCUMENT_DOMAIN = "p2pverify/document/1"


def commit_row(salt: bytes, row: bytes) -> bytes:
    """The commitment (32 B) to the canonical bytes of a row. The salt has 32 bytes and is used for this row alone."""
    return _commit(ROW_DOMAIN, salt, row)


def commit_card(salt: bytes, card: bytes) -> bytes:
    """The commitment (32 B) to the bytes of a data card."""
    return _commit(CARD_DOMAIN, salt, card)


def commit_subject(salt: bytes, subject: str) -> bytes:
    """The commitment (32 B) to what a statement is about. The parties to a statement share the salt."""
    return _commit(SUBJECT_DOMAIN, salt, subject.encode())


def commit_document(salt: bytes, document: bytes) -> bytes:
    """The commitment (32 B) to the bytes of the document that a statement stands for."""
    return _commit(DOCUMENT_DOMAIN, salt, document)


def _commit(domain: str, salt: bytes, content: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return digest([domain, salt, content])


def rows_root(commitments: Sequence[bytes]) -> bytes:
    """The root (32 B) of a data set: the Merkle root over the commitments to its rows, in their order.

    An erased row keeps its place, with `ERASED_ROW` as its commitment. So the numbers of the other rows stay.
    """
    return merkle.root(commitments)


@dataclass(frozen=True, slots=True)
class RowProof:
    """One row with its salt, and the path that shows that it is in a data set. `index` counts the rows from 0.

    Of an erased row, salt and row are empty, and the path shows that it is erased.
    """

    index: int
    salt: bytes
    row: bytes
    path: tuple[bytes, ...]

    @property
    def is_erased(self) -> bool:
        return not self.salt

    @property
    def commitment(self) -> bytes:
        """The commitment (32 B) at the row's place. Raises ValueError for a salt of another size."""
        return ERASED_ROW if self.is_erased else commit_row(self.salt, self.row)

    def root(self, count: int) -> bytes | None:
        """The root of the data set of `count` rows that holds this row; None if there is no such place in one."""
        own = merkle.leaf(self.commitment)
        return merkle.root_of_path(own, self.index, count, self.path)


def row_path(commitments: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The path of a row in a data set with these commitments. Raises IndexError."""
    return merkle.inclusion_path([merkle.leaf(each) for each in commitments], index)


#: The salt and the bytes of each row of a data set, in their order; None in the place of an erased row.
RowTable = Sequence[tuple[bytes, bytes] | None]


def row_proofs(rows: RowTable, indices: Sequence[int]) -> list[RowProof]:
    """The proofs of some rows of a data set, erased ones too; `rows` are all of them. Raises IndexError."""
    leaves = [merkle.leaf(ERASED_ROW if row is None else commit_row(*row)) for row in rows]
    paths = merkle.inclusion_paths(leaves, indices)
    return [RowProof(index, *(rows[index] or (b"", b"")), path) for index, path in zip(indices, paths, strict=True)]
