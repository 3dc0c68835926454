"""The node's journal on a disk that fails for some time, or for ever."""

import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.node.journal import JournalStalled, Kept
from p2pverify.store.errors import StoreError, from_sqlite
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store

NETWORK = bytes([7]) * 32
SEED = bytes([1]) * 32
OWN = sign.public_key(SEED)


def record(payload: int = 0) -> Record:
    return make_record(
        SEED, OWN, NETWORK, epoch=1, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=encode([bytes(payload)])
    )


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Store, StoreJournal]]:
    with closing(Store.open(path, NETWORK, OWN)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store, StoreJournal(store, OWN)
            nursery.cancel_scope.cancel()


@contextmanager
def no_more_pages(store: Store) -> Iterator[None]:
    """The database may not grow."""
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    yield
    store._writer.execute("PRAGMA max_page_count = 1000000").fetchone()


@contextmanager
def no_longer_files(_store: Store) -> Iterator[None]:
    """No file of this process may grow, as with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("full", [no_more_pages, no_longer_files])
async def test_a_full_disk_is_no_end(tmp_path: Path, full) -> None:
    """A failed write can be repeated. The store continues, and has all of it or nothing."""
    one = record(8000)
    async with running(tmp_path / "node.db") as (store, journal):
        with full(store), pytest.raises(JournalStalled) as caught:
            await journal.persist([Kept(one, False)], [])
        assert "free some space" in caught.value.hint
        assert caught.value.hint.endswith("writing goes on by itself")
        assert list(store.load_records()) == []
        await journal.persist([Kept(one, False)], [])
        assert list(store.load_records()) == [one.data]
        assert store.statistics()["failed"] == 1


async def test_a_second_own_record_with_one_number_is_the_end(tmp_path: Path) -> None:
    """The last line of defence gives advice."""
    async with running(tmp_path / "node.db") as (_, journal):
        await journal.persist([Kept(record(), False)], [])
        with pytest.raises(StoreError, match=r"sequence number already used.*ledger check"):
            await journal.persist([Kept(record(1), False)], [])


@pytest.mark.parametrize(
    ("code", "fatal"),
    [
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_IOERR_FSYNC, True),  # the content of the disk is unknown after this
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
    ],
)
def test_which_errors_pass(code: int, fatal: bool) -> None:
    """The hint promises that writing continues only for errors that pass."""
    error = sqlite3.OperationalError("whatever")
    error.sqlite_errorcode = code
    found = from_sqlite(error, Path("node.db"), then="; writing goes on by itself")
    assert found.fatal is fatal
    assert ("goes on by itself" in found.hint) is not fatal
