"""The blob of the rows that a contributor shows in a round. Protocol page: protocol/round.md.

    shown = ["p2pverify/shown-rows/1", [[index, salt, row, [path...]], ...]], sorted by index

In mode 0 it holds all rows of the data set, and no path: the root follows from all rows together. Otherwise it holds
the drawn rows, each with its Merkle path to the root. Salt and row of an erased row are null.
"""

from collections.abc import Sequence

from p2pverify.core.contract.history.training import OPEN
from p2pverify.core.data.commitments import SALT_BYTES, RowProof, RowTable, row_proofs, rows_root
from p2pverify.core.data.texts import TEXT_BYTES_MAX
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, check_sorted, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.training.draws import row_order, shown_rows
from p2pverify.core.training.orders import DrawnRows

SHOWN_DOMAIN = "p2pverify/shown-rows/1"
#: The most bytes of the rows that a contributor shows in a round.
SHOWN_BYTES_MAX = 2**24
_PATH_MAX = 32
_ROW_BYTES_MAX = TEXT_BYTES_MAX  # a row of numbers has at most 513
_INDEX_MAX = 2**32 - 1


def encode_shown(rows: Sequence[RowProof]) -> bytes:
    """The bytes of the blob; rows are sorted by index."""
    return encode([SHOWN_DOMAIN, [[row.index, *_content(row), list(row.path)] for row in rows]])


def _content(row: RowProof) -> tuple[bytes | None, bytes | None]:
    return (None, None) if row.is_erased else (row.salt, row.row)


def decode_shown(data: bytes) -> tuple[RowProof, ...]:
    """Read the blob. Raises DecodeError. Whether the rows are those of a data set is not checked here."""
    domain, rows = as_array(decode(data, size_max=SHOWN_BYTES_MAX, depth_max=4), "shown rows", length=2)
    if domain != SHOWN_DOMAIN:
        raise DecodeError("shown rows: another domain")
    found = tuple(map(_row, as_array(rows, "rows")))
    check_sorted([row.index for row in found], "rows")
    return found


def _row(value: Value) -> RowProof:
    index, salt, row, path = as_array(value, "row", length=4)
    is_erased = salt is None and row is None
    return RowProof(
        as_uint(index, "index", _INDEX_MAX),
        b"" if is_erased else as_bytes(salt, "salt", size=SALT_BYTES),
        b"" if is_erased else as_bytes(row, "row", size_max=_ROW_BYTES_MAX),
        tuple(as_bytes(item, "path", size=32) for item in as_array(path, "path", length_max=_PATH_MAX)),
    )


def split_rows(drawn: DrawnRows) -> tuple[list[int], list[int]]:
    """The numbers of the rows to train on, and of those that are shown in this round; both ascend."""
    order = row_order(drawn.seed, drawn.rows)
    return sorted(order[drawn.held :]), shown_rows(order, drawn.position, drawn.count)


def show_rows(mode: int, drawn: DrawnRows, rows: RowTable) -> bytes:
    """The blob that a contributor must show of all its rows."""
    if mode == OPEN:
        return encode_shown([RowProof(index, *(row or (b"", b"")), ()) for index, row in enumerate(rows)])
    return encode_shown(row_proofs(rows, split_rows(drawn)[1]))


def check_shown(mode: int, drawn: DrawnRows, data: bytes) -> dict[int, bytes]:
    """The shown rows by their number, without the erased ones.

    Raises DecodeError if they are not those that were drawn, or not of the root, or if more are erased than the ledger
    was told.
    """
    found = decode_shown(data)
    wanted = list(range(drawn.rows)) if mode == OPEN else split_rows(drawn)[1]
    if [row.index for row in found] != wanted:
        raise DecodeError("shown rows: not those that were drawn")
    if mode == OPEN:
        is_theirs = rows_root([row.commitment for row in found]) == drawn.root
        is_theirs = is_theirs and not any(row.path for row in found)
    else:
        is_theirs = all(row.root(drawn.rows) == drawn.root for row in found)
    if not is_theirs:
        raise DecodeError("shown rows: not of the data set")
    erased = sum(row.is_erased for row in found)
    if erased > drawn.erased or (mode == OPEN and erased < drawn.erased):
        raise DecodeError("shown rows: another number of erased rows than the ledger was told")
    return {row.index: row.row for row in found if not row.is_erased}
