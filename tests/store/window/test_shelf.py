"""Records on disk come back as they were written, the newest from memory, and damage ends the node."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2pverify.store.errors import StoreError
from p2pverify.store.sqlite import Store, _Append
from p2pverify.store.window import shelf
from p2pverify.store.window.shelf import DiskShelf
from tests.store.window.test_base import ALICE, BOB, LOGS, NETWORK, change, put

RECORDS = LOGS[BOB]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(shelf, "RECORDS_KEPT", 3)
    with closing(Store.open(tmp_path / "node.db", NETWORK, ALICE)) as opened:
        yield opened


def reads(kept: DiskShelf) -> int:
    return kept.statistics()["records_read"]


def write(store: Store, first: int, last: int) -> None:
    """Write records, and say so to the shelf."""
    store._commit([_Append(tuple(map(put, RECORDS[first:last])))])
    store.shelf.note_written(record.id for record in RECORDS[first:last])


def test_a_record_stays_in_memory_until_it_is_on_disk(store: Store) -> None:
    """However many there are. After that, only those used last stay."""
    for record in RECORDS:
        store.shelf.put(record)
    assert store.shelf.statistics()["records_in_memory"] == len(RECORDS)
    write(store, 0, 20)
    assert store.shelf.statistics()["records_in_memory"] == len(RECORDS) - 20 + 3
    assert [store.shelf.get(record.id) for record in RECORDS] == RECORDS
    assert reads(store.shelf) == 20  # in this order each of the kept ones is displaced before it is asked for


def test_the_records_used_last_are_read_once(store: Store) -> None:
    for record in RECORDS:
        store.shelf.put(record)
    write(store, 0, 40)
    for _ in range(5):
        assert store.shelf.get(RECORDS[7].id) == RECORDS[7]
        assert store.shelf.get(RECORDS[8].id) == RECORDS[8]
    assert reads(store.shelf) == 2


def test_unknown_and_dropped_records_are_none(store: Store) -> None:
    """A dropped record that was not written is gone. The row of one that was written goes with the next base."""
    store.shelf.put(RECORDS[0])
    assert store.shelf.get(RECORDS[1].id) is None
    store.shelf.drop([RECORDS[0].id, RECORDS[1].id])
    assert store.shelf.get(RECORDS[0].id) is None
    assert store.shelf.statistics()["records_in_memory"] == 0


def test_a_record_that_is_on_disk_is_not_kept_as_unwritten(store: Store) -> None:
    """As one that waited for an earlier record: it was written when it came."""
    write(store, 0, 1)
    store.shelf.put(RECORDS[0])
    store.shelf.put(RECORDS[1])
    assert set(store.shelf._unwritten) == {RECORDS[1].id}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET bytes = CAST(substr(bytes, 1, 60) || x'00' || substr(bytes, 62) AS BLOB) WHERE seq = 5",
        "UPDATE records SET bytes = x'80' WHERE seq = 5",
        "UPDATE records SET bytes = (SELECT bytes FROM records WHERE seq = 6) WHERE seq = 5",
        "UPDATE records SET sum = 7 WHERE seq = 5",
    ],
)
def test_a_row_that_was_damaged_meanwhile_is_an_error(store: Store, statement: str) -> None:
    """It is not taken for a record that does not exist."""
    write(store, 0, 40)
    change(store.path, statement)
    with pytest.raises(StoreError, match="was damaged on disk while the node ran"):
        store.shelf.get(RECORDS[5].id)
    assert store.shelf.get(RECORDS[6].id) == RECORDS[6]
