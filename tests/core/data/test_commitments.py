"""Commitments hide rows, bind their owner to them, and can be erased one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.data.commitments import (
    ERASED_ROW,
    SALT_BYTES,
    RowProof,
    commit_card,
    commit_document,
    commit_row,
    commit_subject,
    row_path,
    row_proofs,
    rows_root,
)
from p2pverify.core.encoding.canon import encode, sha256

SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)
TABLES = st.lists(st.tuples(SALTS, st.binary(max_size=20)), min_size=1, max_size=20, unique_by=lambda row: row[0])
Table = list[tuple[bytes, bytes]]


def commitments(table: Table) -> list[bytes]:
    return [commit_row(salt, row) for salt, row in table]


def proof(table: Table, index: int) -> RowProof:
    return RowProof(index, *table[index], row_path(commitments(table), index))


@settings(max_examples=30, deadline=None)
@given(TABLES, st.data())
def test_a_changed_row_salt_or_order_changes_the_root(table: Table, data: st.DataObject) -> None:
    root = rows_root(commitments(table))
    at = data.draw(st.integers(0, len(table) - 1))
    salt, row = table[at]
    bit = data.draw(st.integers(0, 255))
    other_salt = (int.from_bytes(salt, "big") ^ 1 << bit).to_bytes(SALT_BYTES, "big")
    others = [
        [*table[:at], (salt, row + b"x"), *table[at + 1 :]],
        [*table[:at], (other_salt, row), *table[at + 1 :]],
        table[:at] + table[at + 1 :],
        [*table, (other_salt, row)],
        *([table[1:] + table[:1]] if len(table) > 1 else []),
    ]
    assert root not in [rows_root(commitments(other)) for other in others]


@settings(max_examples=30, deadline=None)
@given(TABLES, st.data())
def test_a_row_is_shown_alone(table: Table, data: st.DataObject) -> None:
    """Its proof gives the root of its data set, and of no other place or size."""
    root = rows_root(commitments(table))
    at = data.draw(st.integers(0, len(table) - 1))
    shown = proof(table, at)
    assert shown.root(len(table)) == root
    for index in range(-1, len(table) + 1):
        if index != at:
            assert RowProof(index, shown.salt, shown.row, shown.path).root(len(table)) != root
    assert RowProof(at, shown.salt, shown.row + b"x", shown.path).root(len(table)) != root
    assert RowProof(at, shown.salt, shown.row, (*shown.path, root)).root(len(table)) is None


@settings(max_examples=30, deadline=None)
@given(TABLES, st.data())
def test_other_rows_are_proven_after_an_erasure(table: Table, data: st.DataObject) -> None:
    """At the same place: under the new root by new paths, and under the old one by those of before.

    The erased row is proven as erased, and no more as a row.
    """
    gone = data.draw(st.integers(0, len(table) - 1))
    before, after = commitments(table), commitments(table)
    after[gone] = ERASED_ROW
    old, new = rows_root(before), rows_root(after)
    assert new != old
    left = [None if at == gone else row for at, row in enumerate(table)]
    proofs = row_proofs(left, range(len(table)))
    for at, (row, shown) in enumerate(zip(table, proofs, strict=True)):
        assert RowProof(at, *row, row_path(before, at)).root(len(table)) == old
        assert shown.root(len(table)) == new
        assert shown.is_erased == (at == gone)
        assert (RowProof(at, *row, shown.path).root(len(table)) == new) == (at != gone)


def test_equal_rows_look_different() -> None:
    """So a row that is easy to guess cannot be found by its hash."""
    row = b"\x00\x01\x01"
    found = {commit_row(sha256(b"%d" % number), row) for number in range(50)}
    assert len(found) == 50
    assert not found & {sha256(row), sha256(encode(row)), sha256(encode(["p2pverify/row/1", row]))}


def test_each_use_has_a_domain_of_its_own() -> None:
    salt = bytes(SALT_BYTES)
    found = {commit_row(salt, b"x"), commit_card(salt, b"x"), commit_subject(salt, "x"), commit_document(salt, b"x")}
    assert len(found) == 4
    with pytest.raises(ValueError, match="32 bytes"):
        commit_row(b"short", b"x")
