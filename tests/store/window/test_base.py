"""A stored base replaces the records below its horizon, all of it or nothing, and nothing else is ever deleted."""

import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.events import StoredAnswer
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.node.journal import encode_output
from p2pverify.store.errors import StoreError
from p2pverify.store.integrity.checkup import check_up
from p2pverify.store.rehome import copy_records
from p2pverify.store.sqlite import Store, _Append
from p2pverify.store.writes import HorizonRow, PutAnswer, PutBase, PutRecord

NETWORK = bytes([7]) * 32
SEEDS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
ALICE, BOB, CAROL = (sign.public_key(seed) for seed in SEEDS)
PER_EPOCH = 4


def log_of(seed: bytes, count: int) -> list[Record]:
    records: list[Record] = []
    for seq in range(count):
        prev = records[-1].id if records else NO_PREV
        rest = {"epoch": seq // PER_EPOCH, "seq": seq, "prev": prev, "kind": Kind.LEAVE, "payload": encode([seq])}
        records.append(make_record(seed, sign.public_key(seed), NETWORK, **rest))  # type: ignore[arg-type]
    return records


LOGS = {sign.public_key(seed): log_of(seed, 40) for seed in SEEDS}
STORED = [LOGS[author][seq] for seq in range(40) for author in LOGS]


def put(record: Record) -> PutRecord:
    return PutRecord(record.id, record.author, record.seq, record.kind, record.epoch, record.data)


def answered(epoch: int) -> PutAnswer:
    """An answer that was given in an epoch."""
    answer = StoredAnswer(BOB, bytes([epoch]), Output((1, 2), "stop", bytes(32)), epoch)
    return PutAnswer(BOB, answer.question, encode_output(answer), epoch)


def horizon(**numbers: int) -> tuple[HorizonRow, ...]:
    """The horizon at these numbers of authors."""
    authors = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    rows = []
    for name, seq in numbers.items():
        last = LOGS[authors[name]][seq]
        rows.append(HorizonRow(last.author, seq, last.id, last.epoch, PER_EPOCH * last.epoch))
    return tuple(sorted(rows))


def base(rows: Sequence[HorizonRow], number: int = 1, **more: object) -> PutBase:
    cuts = tuple(sha256(bytes([number, each])) for each in range(4))
    states = tuple(bytes([number, each]) * 3000 for each in range(4))
    return PutBase(cuts, states, tuple(rows), **{"epoch": 0, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Store]:
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    made = tmp_path / "node.db"
    async with running(made) as store:
        await store.append([*map(put, STORED), *map(answered, range(10))])
    return made


def held(path: Path) -> dict[bytes, list[int]]:
    """The numbers of the stored records, by author."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT author, seq FROM records ORDER BY author, seq").fetchall()
    return {author: [seq for each, seq in rows if each == author] for author in LOGS}


def change(path: Path, *statements: str) -> None:
    """Change a database in a way that no program of ours does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        for _, text in triggers:
            database.execute(text)


async def test_what_is_below_the_horizon_goes(path: Path) -> None:
    """Records up to the horizon, own numbers and old answers are deleted, and no others. Named records stay."""
    named = LOGS[BOB][3].id
    async with running(path) as store:
        await store.append([base(horizon(alice=20, bob=10), epoch=5, named=(named,))])
        figures = store.statistics()
        assert [seq for seq, _ in store.load_own_log()] == list(range(21, 40))
        assert [epoch for *_, epoch in store.load_answers()] == [5, 6, 7, 8, 9]
    assert held(path) == {ALICE: list(range(21, 40)), BOB: [3, *range(11, 40)], CAROL: list(range(40))}
    assert (figures["records"], figures["records_dropped"], figures["answers"]) == (89, 31, 5)
    assert check_up(path, NETWORK, ALICE).faults == ()
    async with running(path) as store:
        assert store.base is not None
        assert (store.base.horizon, store.base.named, store.base.is_whole) == (
            horizon(alice=20, bob=10),
            (named,),
            False,
        )
        assert store.base.states == base(()).states
        given = set(store.inspect().records())
    assert given == {record.data for record in STORED if record.seq > {ALICE: 20, BOB: 10}.get(record.author, -1)}


async def test_own_numbers_below_the_horizon_stay_used(path: Path) -> None:
    """A number that was signed and deleted is never signed again."""
    twin = make_record(SEEDS[0], ALICE, NETWORK, epoch=0, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=encode([99]))
    async with running(path) as store:
        await store.append([base(horizon(alice=39))])
        with pytest.raises(LocalProtocolError, match="already used"):
            await store.append([put(twin)])
    async with running(path) as store:
        found = store.inspect()
        assert list(found.records())
        assert found.signed_before == 40
        with pytest.raises(LocalProtocolError, match="already used"):
            await store.append([put(twin)])


async def test_a_home_that_keeps_all_deletes_nothing(path: Path) -> None:
    """It starts above the horizon nevertheless, and reads no row before the first that is above."""
    async with running(path) as store:
        await store.append([base(horizon(alice=20, bob=20, carol=20), keeps_all=True)])
    assert held(path) == {author: list(range(40)) for author in LOGS}
    async with running(path) as store:
        assert store.base is not None
        assert (store.base.first, store.base.is_whole) == (64, True)
        assert set(store.inspect().records()) == {record.data for record in STORED if record.seq > 20}
        await store.append([base(horizon(alice=30, bob=30, carol=30), 2)])  # the setting has changed
        assert store.statistics()["records"] == 27
    async with running(path) as store:
        assert store.base is not None
        assert not store.base.is_whole


@pytest.mark.parametrize("keeps_all", [True, False])
async def test_a_closed_log_does_not_come_back(path: Path, keeps_all: bool) -> None:
    """An author that no cut knows any more loses its records. Later ones, after a new join, count again."""
    async with running(path) as store:
        await store.append([base(horizon(bob=10, carol=10))])
        await store.append([base(horizon(bob=12), 2, gone=(CAROL,), keeps_all=keeps_all)])
        later = make_record(
            SEEDS[2], CAROL, NETWORK, epoch=99, seq=40, prev=LOGS[CAROL][-1].id, kind=Kind.JOIN, payload=b"x"
        )
        await store.append([put(later)])
    async with running(path) as store:
        assert set(store.inspect().records()) == {
            later.data, *(record.data for record in LOGS[ALICE]), *(record.data for record in LOGS[BOB][13:])
        }  # fmt: skip
    assert held(path)[CAROL] == ([*range(11, 41)] if keeps_all else [40])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM records WHERE seq = 21",
        "DELETE FROM records",
        "DELETE FROM own_log WHERE seq = 21",
        "DELETE FROM answers WHERE epoch = 5",
        "UPDATE records SET seq = 1 WHERE seq = 30",
        "UPDATE horizon SET seq = 19",
        "DELETE FROM horizon",
        "UPDATE base SET epoch = 4",
        "UPDATE base SET is_whole = 1",
        "DELETE FROM base",
    ],
)
async def test_the_file_refuses_what_is_above_the_horizon(path: Path, statement: str) -> None:
    """No program deletes a record that no stored state replaces, or lets the horizon fall."""
    async with running(path) as store:
        await store.append([base(horizon(alice=20), epoch=5)])
    with closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.IntegrityError, match=r"append-only|falls"):
        database.execute(statement)


def content(path: Path) -> bytes:
    return path.read_bytes()


def size(path: Path) -> int:
    return path.stat().st_size


def write(path: Path, data: bytes) -> None:
    """Make this the whole database, without a log of earlier writes."""
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    path.write_bytes(data)


def _commit_until(path: Path, count: int, base: PutBase) -> bool:
    """In a process of its own: write, and be killed before the statement with this number. Returns whether it ended."""
    child = os.fork()
    if child == 0:
        store = Store.open(path, NETWORK, ALICE)
        left = [count]

        def kill(_statement: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        store._writer.set_trace_callback(kill)
        store._commit([_Append((base,))])
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


async def test_a_kill_at_any_statement_leaves_the_old_base_or_the_new_one(path: Path) -> None:
    """With either, the records above its horizon are all there."""
    async with running(path) as store:
        await store.append([base(horizon(alice=4, bob=4))])
    outcomes = []
    whole = content(path)
    for count in range(200):
        write(path, whole)
        has_ended = _commit_until(path, count, base(horizon(alice=30, bob=20, carol=25), 2, epoch=6))
        with closing(Store.open(path, NETWORK, ALICE)) as store:
            assert store.base is not None
            number = store.base.states[0][0]
            above = {row.author: row.seq for row in store.base.horizon}
            found = set(store.inspect().records())
        assert found == {record.data for record in STORED if record.seq > above.get(record.author, -1)}
        assert above == ({ALICE: 4, BOB: 4} if number == 1 else {ALICE: 30, BOB: 20, CAROL: 25})
        assert check_up(path, NETWORK, ALICE).faults == ()
        outcomes.append(number)
        if has_ended:
            break
    assert has_ended
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 15
    assert set(outcomes) == {1, 2}


async def test_a_full_disk_while_pruning_is_no_end(path: Path) -> None:
    """Nothing is deleted then. The same base can be written later."""
    async with running(path) as store:
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages}")
        large = PutBase(base(()).cuts, (bytes(200_000),) * 4, horizon(alice=20), 5)
        with pytest.raises(StoreError, match="full") as caught:
            await store.append([large])
        assert not caught.value.fatal
        assert store.statistics()["records"] == 120
        store._writer.execute("PRAGMA max_page_count = 1000000")
        await store.append([large])
    assert held(path)[ALICE] == list(range(21, 40))


async def test_free_pages_go_back_to_the_disk(path: Path) -> None:
    """After a base with large states, a small one lets the file shrink."""
    async with running(path) as store:
        await store.append([PutBase(base(()).cuts, (bytes(500_000),) * 4, horizon(alice=5), 0)])
    large = size(path)
    async with running(path) as store:
        await store.append([base(horizon(alice=6), 2)])
    assert large > 2_000_000
    assert size(path) < large / 4


_DAMAGE = [
    "UPDATE states SET bytes = zeroblob(6000) WHERE number = 1",
    "UPDATE states SET cut = zeroblob(32) WHERE number = 3",
    "DELETE FROM states WHERE number = 0",
    "DELETE FROM states",
    "UPDATE horizon SET seq = 21",
    "UPDATE horizon SET id = zeroblob(32)",
    "UPDATE base SET epoch = 9",
    "UPDATE base SET digest = zeroblob(32)",
    "INSERT INTO named VALUES (zeroblob(32))",
    "INSERT INTO closed VALUES (zeroblob(32), 3)",
]


@pytest.mark.parametrize("statement", _DAMAGE)
@pytest.mark.parametrize("keeps_all", [True, False])
async def test_a_damaged_base_is_noticed(path: Path, statement: str, keeps_all: bool, caplog) -> None:
    """Without the records below, the node does not start. With them it begins with the first one."""
    async with running(path) as store:
        await store.append([base(horizon(alice=20, bob=20), epoch=5, keeps_all=keeps_all)])
    change(path, statement)
    assert [fault.kind for fault in check_up(path, NETWORK, ALICE).faults] == ["state"]
    if keeps_all:
        async with running(path) as store:
            assert store.base is None
            assert set(store.inspect().records()) == {record.data for record in STORED}
            await store.append([base(horizon(alice=21, bob=21), 2, epoch=9, keeps_all=True)])
        assert "all records" in caplog.text
        async with running(path) as store:
            assert store.base is not None
    else:
        with pytest.raises(StoreError, match=r"stored state is damaged.*move the files"):
            Store.open(path, NETWORK, ALICE)


async def test_a_page_of_garbage_among_the_states_is_noticed(path: Path) -> None:
    """SQLite's own check finds a page that is none. The digest finds changed bytes in a page that is one."""
    async with running(path) as store:
        await store.append([base(horizon(alice=20))])
    whole = content(path)
    at = whole.index(bytes([1, 2]) * 500)
    for spoilt in (b"\x5a" * 512, bytes([whole[at + 7] ^ 1])):
        data = bytearray(whole)
        data[at + 7 : at + 7 + len(spoilt)] = spoilt
        write(path, bytes(data))
        with pytest.raises(StoreError, match="damaged"):
            Store.open(path, NETWORK, ALICE)


async def test_a_new_identity_begins_at_the_same_state(path: Path, tmp_path: Path) -> None:
    """Its database has the records above the horizon, the stored state, and no number of its own log."""
    async with running(path) as store:
        await store.append([base(horizon(alice=20, bob=10), named=(LOGS[BOB][3].id,))])
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        wanted = store.base
    new = tmp_path / "new.db"
    assert copy_records(path, new, NETWORK, CAROL) == 89
    assert held(new) == held(path)
    with closing(Store.open(new, NETWORK, CAROL)) as store:
        assert store.base == wanted
        assert store.load_own_log() == []
    assert check_up(new, NETWORK, CAROL).faults == ()
