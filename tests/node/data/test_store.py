"""Rows and salts of this home: private, whole, and really gone once they are erased."""

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.data.commitments import ERASED_ROW, rows_root
from p2pverify.core.errors import DecodeError
from p2pverify.node.data.making import Terms, new_dataset
from p2pverify.node.data.store import DataError, DataStore, OwnDataset, decode_own_dataset
from p2pverify.node.files.home import Home
from p2pverify.node.files.textfile import FileError
from tests.support.datasets import SCHEMA, rows

TERMS = Terms("CC-BY-4.0", 1, (), None, 1000)


def made(name: str = "cells", count: int = 5) -> OwnDataset:
    return new_dataset(name, SCHEMA, rows(count), TERMS, None)


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    home = Home(tmp_path / "home")
    home.init()
    return DataStore(home)


def bytes_in(folder: Path) -> bytes:
    """All bytes of all files below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_data_set_is_read_as_it_was_kept(store: DataStore, tmp_path: Path) -> None:
    own = made()
    store.add(own)
    assert store.names() == ["cells"]
    assert store.get("cells") == own
    assert own.holds
    file = tmp_path / "home" / "data" / "cells.rows"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_salts_are_independent() -> None:
    one, two = made(), made()
    salts = [row.salt for own in (one, two) for row in own.rows] + [one.card_salt, two.card_salt]
    assert len(set(salts)) == len(salts)
    assert one.root != two.root
    assert one.said.card != two.said.card


def test_an_erased_row_is_gone_from_the_disk(store: DataStore, tmp_path: Path) -> None:
    """Its bytes and its salt, also from what a process that died left behind. Its commitment stays."""
    own = made()
    store.add(own)
    folder = tmp_path / "home" / "data"
    (folder / ".cells.rows.0123abcd").write_bytes(own.encode())
    before = bytes_in(folder)
    with store.locked():
        store.save(own.without([1, 3], 1))
    left, after = store.get("cells"), bytes_in(folder)
    for place in (1, 3):
        gone = own.rows[place]
        assert gone.salt in before
        assert gone.salt not in after
        assert gone.row not in after
        assert gone.commitment in after
        assert left.rows[place].commitment == gone.commitment
    assert all(own.rows[place].salt in after for place in (0, 2, 4))
    assert left.holds
    assert left.said == own.said
    now = [row.commitment for row in own.rows]
    assert left.root == rows_root([now[0], ERASED_ROW, now[2], ERASED_ROW, now[4]])
    assert sorted(path.name for path in folder.iterdir()) == ["cells.rows", "lock"]


def test_other_rows_are_shown_as_before() -> None:
    own = made()
    left = own.without([1], 1)
    assert own.proof(3).root(5) == own.root
    shown = left.proof(3)
    assert (shown.index, shown.row, shown.salt) == (3, own.rows[3].row, own.rows[3].salt)
    assert shown.root(5) == left.root != own.root
    assert (left.left, left.without([0, 2, 3, 4], 1).left) == (4, 0)


@pytest.mark.parametrize(("place", "said"), [(1, "is erased"), (5, "has no row 5"), (-1, "has no row -1")])
def test_a_row_that_is_not_there(place: int, said: str) -> None:
    left = made().without([1], 1)
    for use in (left.proof, lambda at: left.without([at], 1)):
        with pytest.raises(DataError, match=said):
            use(place)


def test_commands_take_turns(store: DataStore, tmp_path: Path) -> None:
    """One that has read a data set before an erasure must not write it back after it."""
    with store.locked(), (tmp_path / "home" / "data" / "lock").open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with store.locked():
        pass


def test_a_name_is_taken_once_and_cannot_leave_the_folder(store: DataStore) -> None:
    store.add(made())
    with pytest.raises(DataError, match="already"):
        store.add(made())
    for name in ("../identity", "", ".hidden", "a/b", "x" * 65):
        with pytest.raises(DataError, match="not the name"):
            store.get(name)
    with pytest.raises(DataError, match="no data set other"):
        store.get("other")


def test_a_file_that_others_can_read_is_refused(store: DataStore, tmp_path: Path) -> None:
    store.add(made())
    file = tmp_path / "home" / "data" / "cells.rows"
    file.chmod(0o644)
    with pytest.raises(FileError, match="chmod 600"):
        store.get("cells")


def test_a_changed_file_does_not_hold(store: DataStore, tmp_path: Path) -> None:
    """A row with another value, and the file of another data set."""
    own = made()
    store.add(own)
    file = tmp_path / "home" / "data" / "cells.rows"
    data = file.read_bytes()
    file.write_bytes(data.replace(own.rows[2].row, rows(9)[8]))
    assert not store.get("cells").holds
    file.write_bytes(data[:-1])
    with pytest.raises(FileError, match="truncated"):
        store.get("cells")
    store.add(made("other"))
    file.with_name("other.rows").replace(file)
    with pytest.raises(FileError, match="is the data set other"):
        store.get("cells")


def test_what_is_no_data_set() -> None:
    good = made().encode()
    for data in (b"", good[:-1], good + b"\0", good.replace(b"own-dataset/1", b"own-dataset/2")):
        with pytest.raises(DecodeError):
            decode_own_dataset(data)


def test_a_data_set_is_found_by_its_record(store: DataStore, tmp_path: Path) -> None:
    """A file that is damaged does not hide the others."""
    for number, name in enumerate(("one", "two")):
        store.add(replace(made(name), record=bytes([number + 1]) * 32))
    (tmp_path / "home" / "data" / "broken.rows").write_bytes(b"")
    assert [own.name for own in (store.find(b"\x01" * 32), store.find(b"\x02" * 32)) if own] == ["one", "two"]
    assert store.find(b"\x03" * 32) is None
