"""Appended records are read back whole and in order, or the writer gets an error."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pverify.core.errors import LocalProtocolError
from p2pverify.store.errors import StoreError
from p2pverify.store.sqlite import BATCH_WRITES_MAX, QUEUE_MAX, Store
from p2pverify.store.writes import DropEvidence, PutAnswer, PutEvidence, PutRecord, Write

NETWORK = bytes([7]) * 32
ALICE = bytes([1]) * 32
BOB = bytes([2]) * 32


def record(author: bytes, seq: int, text: str = "", *, received: bool = False) -> PutRecord:
    data = author[:4] + f"{seq} {text}".encode() + bytes(300)
    digest = hashlib.sha256(data).digest()
    return PutRecord(id=digest, author=author, seq=seq, kind=5, epoch=1, data=data, received=received)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Store]:
    """A store with its writer; both end with the block."""
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()


async def fill(path: Path, count: int) -> list[PutRecord]:
    records = [record(BOB, seq) for seq in range(count)]
    async with running(path) as store:
        await store.append(records)
    return records


async def outcome(call: Callable[[], Awaitable[None]]) -> BaseException | None:
    try:
        await call()
    except (StoreError, LocalProtocolError) as error:
        return error
    return None


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def reopened(path: Path) -> list[bytes]:
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        return list(store.load_records())


async def test_records_come_back_in_order(path: Path) -> None:
    """Records of many pages are read in the order in which they were stored, also after reopening."""
    records = await fill(path, 1500)
    assert reopened(path) == [r.data for r in records]


async def test_evidence_comes_back_until_it_is_dropped(path: Path) -> None:
    """The first answer of a peer in a slot stays. Whole epochs before the given one are removed."""
    async with running(path) as store:
        await store.append([PutEvidence(epoch, 0, peer, b"a") for epoch in (3, 2) for peer in (BOB, ALICE)])
        await store.append([PutEvidence(3, 0, BOB, b"another"), PutEvidence(3, 1, BOB, b"b")])
        assert [row[:2] for row in store.load_evidence()] == [(2, 0), (2, 0), (3, 0), (3, 0), (3, 1)]
        await store.append([DropEvidence(3)])
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        assert store.load_evidence() == [(3, 0, ALICE, b"a"), (3, 0, BOB, b"a"), (3, 1, BOB, b"b")]


async def test_answers_come_back(path: Path) -> None:
    """Answers come back in the order of storing, also after reopening."""
    async with running(path) as store:
        await store.append([PutAnswer(BOB, b"q", b"yes"), PutAnswer(ALICE, b"q", b"no")])
        assert list(store.load_answers()) == [(BOB, b"q", b"yes", 0), (ALICE, b"q", b"no", 0)]
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        assert list(store.load_answers()) == [(BOB, b"q", b"yes", 0), (ALICE, b"q", b"no", 0)]


async def test_repeats_change_nothing(path: Path) -> None:
    """A known id is stored once, and the first answer to a question stays."""
    async with running(path) as store:
        await store.append([record(BOB, 1), record(BOB, 1), PutAnswer(BOB, b"q", b"first")])
        await store.append([record(BOB, 1), PutAnswer(BOB, b"q", b"second")])
        assert list(store.load_answers()) == [(BOB, b"q", b"first", 0)]
        statistics = store.statistics()
    assert (statistics["records"], statistics["answers"]) == (1, 1)
    assert (statistics["records_added"], statistics["answers_added"]) == (1, 1)


async def test_second_own_record_of_one_sequence_is_refused(path: Path) -> None:
    """An append that signs a used sequence number again stores nothing. Other appends succeed."""
    async with running(path) as store:
        await store.append([record(ALICE, 4, "one")])
        with pytest.raises(LocalProtocolError, match="sequence number already used"):
            await store.append([record(BOB, 9), record(ALICE, 4, "two"), PutAnswer(BOB, b"q", b"yes")])
        await store.append([record(ALICE, 4, "one")])
        await store.append([record(ALICE, 5)])
        assert list(store.load_answers()) == []
        assert [seq for seq, _ in store.load_own_log()] == [4, 5]
        assert store.statistics()["refused"] == 1
    assert reopened(path) == [record(ALICE, 4, "one").data, record(ALICE, 5).data]


async def test_second_own_record_is_refused_after_reopening(path: Path) -> None:
    """The used sequence numbers are on disk, not in memory."""
    async with running(path) as store:
        await store.append([record(ALICE, 0, "one")])
    async with running(path) as store:
        with pytest.raises(LocalProtocolError, match="sequence number already used"):
            await store.append([record(ALICE, 0, "two")])


async def test_second_own_record_is_refused_within_one_batch(path: Path) -> None:
    """Of two appends in one commit, or two records in one append, only the first gets the number."""
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        errors: dict[str, BaseException | None] = {}

        async def put(name: str, *writes: Write) -> None:
            errors[name] = await outcome(lambda: store.append(writes))

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as callers:
                for name in ("first", "second"):
                    callers.start_soon(put, name, record(ALICE, 1, name))
                    await trio.testing.wait_all_tasks_blocked()
                callers.start_soon(put, "twins", record(ALICE, 2, "a"), record(ALICE, 2, "b"))
                await trio.testing.wait_all_tasks_blocked()
                await nursery.start(store.run)
            nursery.cancel_scope.cancel()
        assert store.statistics()["batches"] == 1
        assert errors["first"] is None
        assert isinstance(errors["second"], LocalProtocolError)
        assert isinstance(errors["twins"], LocalProtocolError)
        assert list(store.load_records()) == [record(ALICE, 1, "first").data]


async def test_forks_that_arrive_are_evidence(path: Path) -> None:
    """Two records of one author with one number are both kept, of any author, and of the own log if received."""
    async with running(path) as store:
        await store.append([record(BOB, 1, "one"), record(BOB, 1, "two"), record(ALICE, 1, "one")])
        await store.append([record(ALICE, 1, "two", received=True), record(ALICE, 2, received=True)])
        assert len(list(store.load_records())) == 5
        with pytest.raises(LocalProtocolError, match="sequence number already used"):
            await store.append([record(ALICE, 2, "signed after a restored backup")])


async def test_concurrent_appends_share_commits(path: Path) -> None:
    """More callers than the queue holds are all served, by far fewer commits than callers."""
    callers = 2 * QUEUE_MAX
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as appends:
                for seq in range(callers):
                    appends.start_soon(store.append, [record(BOB, seq)])
                await trio.testing.wait_all_tasks_blocked()
                assert store.statistics()["queue_used"] == QUEUE_MAX
                await nursery.start(store.run)
            nursery.cancel_scope.cancel()
        statistics = store.statistics()
        assert set(store.load_records()) == {record(BOB, seq).data for seq in range(callers)}
    assert statistics["appends"] == callers
    assert statistics["batches"] < callers / 10
    assert statistics["batch_writes_max"] <= BATCH_WRITES_MAX


async def test_cancelled_waiter_does_not_tear_its_append(path: Path) -> None:
    """An append whose caller was cancelled while it waited is committed whole, and so are the others."""
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as impatient:
                async with trio.open_nursery() as callers:
                    callers.start_soon(store.append, [record(BOB, seq) for seq in range(3)])
                    await trio.testing.wait_all_tasks_blocked()
                    impatient.cancel()
            await nursery.start(store.run)
            await store.append([record(BOB, 3)])
            nursery.cancel_scope.cancel()
        assert list(store.load_records()) == [record(BOB, seq).data for seq in range(4)]


async def test_stopping_finishes_the_commit_that_has_begun(path: Path) -> None:
    """Cancelling the writer during a commit acknowledges that commit and refuses waiting appends."""
    with closing(Store.open(path, NETWORK, ALICE)) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")  # the commit waits for this lock in its thread
        errors: dict[str, BaseException | None] = {}

        async def put(name: str, seq: int) -> None:
            errors[name] = await outcome(lambda: store.append([record(BOB, seq)]))

        async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
            await nursery.start(store.run)
            callers.start_soon(put, "begun", 1)
            await trio.testing.wait_all_tasks_blocked()
            callers.start_soon(put, "queued", 2)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            other.rollback()
        assert errors["begun"] is None
        assert isinstance(errors["queued"], StoreError)
        assert list(store.load_records()) == [record(BOB, 1).data]
        with pytest.raises(StoreError, match="has stopped"):
            await store.append([record(BOB, 3)])


@pytest.mark.parametrize(
    "write",
    [
        PutRecord(bytes(31), BOB, 1, 5, 1, b"x"),
        PutRecord(bytes(32), BOB[:-1], 1, 5, 1, b"x"),
        PutRecord(bytes(32), BOB, 2**63, 5, 1, b"x"),
        PutRecord(bytes(32), BOB, 1, -1, 1, b"x"),
        PutRecord(bytes(32), BOB, 1, 5, 1, b""),
        PutAnswer(BOB, b"", b"x"),
        PutAnswer(BOB, b"q", bytes(2**20 + 1)),
        PutEvidence(1, 0, b"short", b"x"),
        PutEvidence(-1, 0, BOB, b"x"),
        PutEvidence(1, 0, BOB, bytes((1 << 20) + 1)),
        DropEvidence(-1),
    ],
)
async def test_field_out_of_range_is_the_callers_fault(path: Path, write: Write) -> None:
    """A write with a value that SQLite cannot hold is refused before it reaches the batch."""
    async with running(path) as store:
        with pytest.raises(LocalProtocolError):
            await store.append([write])
        await store.append([record(BOB, 1)])


async def test_full_disk_is_told_and_survived(path: Path) -> None:
    """On a full disk the append fails with advice and leaves nothing. A later append succeeds."""
    async with running(path) as store:
        await store.append([record(BOB, 0)])
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"full.*free some space") as caught:
            await store.append([record(BOB, seq) for seq in range(1, 200)])
        assert not caught.value.fatal
        store._writer.execute("PRAGMA max_page_count = 100000")
        await store.append([record(BOB, 1)])
        assert list(store.load_records()) == [record(BOB, 0).data, record(BOB, 1).data]


async def test_failed_database_ends_the_writer(path: Path) -> None:
    """A permanent fault (here a lost table) reaches the caller and ends the writer."""
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        store._writer.execute("DROP TABLE evidence")
        with pytest.RaisesGroup(pytest.RaisesExc(StoreError, match="database failed")), trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                with pytest.raises(StoreError, match="database failed"):
                    await store.append([record(BOB, 1), PutEvidence(1, 0, BOB, b"x")])
        with pytest.raises(StoreError, match="has stopped"):
            await store.append([record(BOB, 2)])
        assert list(store.load_records()) == []
        assert store.statistics()["failed"] == 1


async def test_rows_cannot_be_changed(path: Path) -> None:
    """The file itself refuses changes to records, answers and the own log."""
    async with running(path) as store:
        await store.append([record(ALICE, 1), PutAnswer(BOB, b"q", b"a")])
    with closing(sqlite3.connect(path)) as database:
        for table in ("records", "answers", "own_log", "identity"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(f"DELETE FROM {table}")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute("UPDATE records SET bytes = x'00'")


async def test_every_commit_waits_for_the_disk(path: Path) -> None:
    """The writer uses a write-ahead log and synchronous=FULL, and only the owner can read the files."""
    async with running(path) as store:
        await store.append([record(BOB, 1)])
        assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert mode(path) == mode(Path(f"{path}-wal")) == 0o600


async def test_store_opens_in_a_thread(path: Path) -> None:
    """The blocking parts can be called in a worker thread, as at a node's start."""
    await fill(path, 3)
    store = await trio.to_thread.run_sync(Store.open, path, NETWORK, ALICE)
    records = await trio.to_thread.run_sync(lambda: list(store.load_records()))
    assert len(records) == 3
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await store.append([record(BOB, 3)])
        await store.append([])
        nursery.cancel_scope.cancel()
    await trio.to_thread.run_sync(store.close)
