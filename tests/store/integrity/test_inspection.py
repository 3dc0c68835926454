"""Damage on disk is found, reported, left out, and replaced from other peers. Nothing else is ever replaced."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given
from hypothesis import settings as tested
from hypothesis import strategies as st

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError, GossipIgnore
from p2pverify.core.events import StoredAnswer, StoredEvidence
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, decode_record, make_record
from p2pverify.core.replica.ledger import Ledger
from p2pverify.node.journal import Kept, decode_output, decode_stored_evidence, encode_output
from p2pverify.store.errors import StoreError
from p2pverify.store.integrity.checksum import sum_of
from p2pverify.store.integrity.checkup import check_up
from p2pverify.store.integrity.inspection import Inspection, StoredRow
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store

NETWORK = bytes([7]) * 32
SEEDS = (bytes([1]) * 32, bytes([2]) * 32)
ALICE, BOB = (sign.public_key(seed) for seed in SEEDS)
ANSWER = StoredAnswer(BOB, bytes(32), Output((5, 6, 7), "stop", bytes(32)))
EVIDENCE = StoredEvidence(3, 0, BOB, Output((5, 6, 7), "stop", bytes(32)))
REFUSED = GossipIgnore("for whatever reason")


def log_of(seed: bytes, count: int) -> list[Record]:
    """A log of leaves."""
    records: list[Record] = []
    for seq in range(count):
        prev = records[-1].id if records else NO_PREV
        records.append(
            make_record(
                seed, sign.public_key(seed), NETWORK, epoch=1, seq=seq, prev=prev, kind=Kind.LEAVE, payload=encode([])
            )
        )
    return records


ALICES, BOBS = log_of(SEEDS[0], 6), log_of(SEEDS[1], 6)
ALL = {record.data for record in (*ALICES, *BOBS)}
STORED = [record for pair in zip(ALICES, BOBS, strict=True) for record in pair]


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Store, StoreJournal, int]]:
    """A store that was read as at a node's start, with its journal and the first free own number."""
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        journal, ledger = StoreJournal(store, ALICE), Ledger()
        for data in journal.records():
            with suppress(DecodeError, GossipIgnore):
                record = decode_record(data)
                if record.is_signed():
                    ledger.add(record)
            journal.take_outcome(REFUSED)  # so that each row is compared with itself
        list(journal.answers())
        list(journal.evidence())
        free = journal.end_loading(ledger)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store, journal, free
            nursery.cancel_scope.cancel()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with six records of each author, an answer and evidence."""
    made = tmp_path / "node.db"
    async with running(made) as (_, journal, _):
        await journal.persist([Kept(r, r.author != ALICE) for r in STORED], [ANSWER], [EVIDENCE])
    return made


def change(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change a database in a way that no program of ours does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(*statement)
        for _, text in triggers:
            database.execute(text)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def damage(path: Path, *records: Record, bit: int = 9) -> None:
    change(path, *(("UPDATE records SET bytes = ? WHERE id = ?", (flipped(r.data, bit), r.id)) for r in records))


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def names(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


def content(path: Path) -> bytes:
    return path.read_bytes()


def change_index(path: Path) -> bytes:
    """Flip a bit of an id in the index of the records. Returns the file's content after that."""
    index = "sqlite_autoindex_records_1"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        root = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)).fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    at = data.index(BOBS[2].id, (root - 1) * size, root * size)
    data[at + 31] ^= 1
    path.write_bytes(data)
    return bytes(data)


def stored(path: Path) -> list[bytes]:
    with closing(Store.open(path, NETWORK, ALICE)) as store:
        return list(store.load_records())


def kinds(path: Path) -> list[str]:
    return [fault.kind for fault in check_up(path, NETWORK, ALICE).faults]


def inspect(rows: list[StoredRow], own_log: list[tuple[int, bytes]]) -> Inspection:
    found = Inspection(rows, ALICE, own_log)
    for _ in found.records():
        found.take_outcome(REFUSED)
    return found


def row(record: Record, **changes: object) -> StoredRow:
    values: dict[str, object] = {
        "place": record.seq + 1,
        "id": record.id,
        "author": record.author,
        "seq": record.seq,
        "kind": record.kind,
        "epoch": record.epoch,
        "data": record.data,
        "sum": sum_of(record.data),
    }
    return StoredRow(**{**values, **changes})  # type: ignore[arg-type]


@given(bit=st.integers(0, 8 * len(ALICES[2].data) - 1))
def test_any_flipped_bit_of_a_record_is_found(bit: int) -> None:
    """For every bit, the record is reported by its columns, and its number stays used."""
    rows = [row(r, data=flipped(r.data, bit)) if r.seq == 2 else row(r) for r in ALICES]
    found = inspect(rows, [])
    named = [(each.id, each.author, each.seq) for each in found.damaged]
    if named:
        assert named == [(ALICES[2].id, ALICE, 2)]
    else:  # every changed bit must be found
        pytest.fail(f"bit {bit} does not matter")
    assert found.signed_before == 6
    assert found.own_holes == [2]


@given(place=st.integers(0, 5), bit=st.integers(0, 62), table=st.sampled_from(["own_log", "row", "id", "log id"]))
def test_one_wrong_column_invents_no_own_record(place: int, bit: int, table: str) -> None:
    """Two tables have the used numbers. If one column of one table is wrong, the other table counts."""
    rows, own_log = [row(r) for r in ALICES], [(r.seq, r.id) for r in ALICES]
    if table == "row":
        rows[place] = row(ALICES[place], seq=place ^ 1 << bit)
    elif table == "id":
        rows[place] = row(ALICES[place], id=flipped(ALICES[place].id, bit))
    elif table == "log id":
        own_log[place] = (place, flipped(ALICES[place].id, bit))
    else:
        own_log[place] = (place ^ 1 << bit, ALICES[place].id)
    found = inspect(rows, own_log)
    assert (found.signed_before, found.own_holes, found.damaged) == (6, [], [])
    assert len(found.misdescribed) == (table in ("row", "id"))


@given(lost=st.sets(st.integers(0, 5)))
def test_own_records_that_are_gone_are_missed(lost: set[int]) -> None:
    """Own numbers stay used without their rows, as long as the own log's table has them."""
    found = inspect([row(r) for r in ALICES if r.seq not in lost], [(r.seq, r.id) for r in ALICES])
    assert (found.signed_before, found.own_holes) == (6, sorted(lost))


async def test_damaged_records_are_named_and_replaced_in_their_place(path: Path, caplog) -> None:
    """Other bytes with the same id replace damaged bytes, and no others. The order stays."""
    damage(path, ALICES[1], BOBS[4])
    async with running(path) as (store, journal, free):
        assert free == 6
        said = [r.getMessage() for r in caplog.records if "is damaged on disk" in r.getMessage()]
        assert [text.split(" (")[0] for text in said] == [f"record {r.id.hex()[:16]}" for r in (ALICES[1], BOBS[4])]
        assert "number 1 of this peer" in said[0]
        assert "signs nothing" in said[0]
        assert "fetched again" in said[1]
        assert store.statistics()["records_damaged"] == 2
        forged = Record(BOBS[3].header, BOBS[3].signature, BOBS[3].payload, BOBS[3].id, b"other bytes")
        await journal.persist([Kept(BOBS[4], True), Kept(forged, True)], [])
        assert store.statistics()["records_damaged"] == 1
        await journal.persist([Kept(ALICES[1], True)], [])
        assert store.statistics()["records_damaged"] == 0
    assert stored(path) == [record.data for record in STORED]
    assert kinds(path) == []


async def test_columns_beside_a_whole_record_are_put_right(path: Path) -> None:
    """The record itself gives the right values. An inconsistent index is rebuilt."""
    change(path, ("UPDATE records SET seq = 77, epoch = 9 WHERE id = ?", (BOBS[2].id,)))
    change(path, ("UPDATE records SET id = ? WHERE id = ?", (bytes(32), ALICES[3].id)))
    assert kinds(path) == ["record", "record"]
    async with running(path) as (_, _, free):
        assert free == 6
    assert kinds(path) == []
    assert stored(path) == [record.data for record in STORED]


async def test_a_number_of_the_own_log_is_put_right(path: Path) -> None:
    """A wrong number would later be taken for used, and end the node for ever."""
    change(path, ("UPDATE own_log SET seq = 8 WHERE seq = 5", ()))
    more = log_of(SEEDS[0], 10)[6:]
    async with running(path) as (_, journal, free):
        assert free == 6
        await journal.persist([Kept(record, False) for record in more], [])
    async with running(path) as (store, _, free):
        assert free == 10
        assert store.load_own_log() == [(record.seq, record.id) for record in [*ALICES, *more]]


async def test_a_damaged_row_that_does_not_say_its_id_goes_once_the_record_is_back(path: Path) -> None:
    """The record comes back into another row. The damaged row is then useless and is no longer reported."""
    damage(path, BOBS[4])
    change(path, ("UPDATE records SET id = ? WHERE id = ?", (flipped(BOBS[4].id, 3), BOBS[4].id)))
    async with running(path) as (_, journal, _):
        await journal.persist([Kept(BOBS[4], True)], [])
    assert kinds(path) == ["record"]
    async with running(path) as (store, _, _):
        assert store.statistics()["records_damaged"] == 0
    assert kinds(path) == []
    assert sorted(stored(path)) == sorted(record.data for record in STORED)


async def test_damaged_answers_are_left_out_and_answered_anew(path: Path) -> None:
    """A stored answer has a digest, because it is not signed. A wrong token makes it no answer, and a right one is
    kept."""
    wrong = encode_output(StoredAnswer(BOB, bytes(32), Output((5, 6, 8), "stop", bytes(32))))
    right = encode_output(ANSWER)
    mixed = right[:33] + wrong[33:]
    change(path, ("UPDATE answers SET response = ?", (mixed,)), ("UPDATE evidence SET answer = ?", (mixed,)))
    assert kinds(path) == ["answer", "evidence"]
    async with running(path) as (_, journal, _):
        assert list(journal.answers()) == []
        assert list(journal.evidence()) == []
        await journal.persist([], [ANSWER])
    async with running(path) as (_, journal, _):
        assert list(journal.answers()) == [ANSWER]
        await journal.persist(
            [], [StoredAnswer(BOB, bytes(32), Output((1,), "stop", bytes(32)))]
        )  # the first answer stays
        assert list(journal.answers()) == [ANSWER]


@given(bit=st.integers(0, 8 * len(encode_output(ANSWER)) - 1))
def test_any_flipped_bit_of_an_answer_is_found(bit: int) -> None:
    """This holds for a stored answer and for a peer's answer in a slot. Neither is taken for one of another place."""
    with pytest.raises(DecodeError):
        decode_output(BOB, bytes(32), flipped(encode_output(ANSWER), bit))
    with pytest.raises(DecodeError):
        decode_stored_evidence(3, 0, BOB, flipped(encode_output(EVIDENCE), bit))
    with pytest.raises(DecodeError):
        decode_output(ALICE, bytes(32), encode_output(ANSWER))
    with pytest.raises(DecodeError):
        decode_stored_evidence(3, 1, BOB, encode_output(EVIDENCE))


async def test_an_index_that_disagrees_is_made_anew(path: Path, caplog) -> None:
    """It follows from its table, so the node continues. A check that changes nothing only reports it."""
    changed = change_index(path)
    assert set(kinds(path)) == {"file"}
    assert content(path) == changed
    assert stored(path) == [record.data for record in STORED]
    assert any("made anew" in record.getMessage() for record in caplog.records)
    assert kinds(path) == []


async def test_rows_that_are_gone_are_named(path: Path) -> None:
    """This covers a record that others follow, and the last own record."""
    change(path, ("DELETE FROM records WHERE id IN (?, ?)", (BOBS[1].id, ALICES[5].id)))
    faults = check_up(path, NETWORK, ALICE).faults
    assert [(f.kind, f.record, f.author, f.number) for f in faults] == [
        ("missing", BOBS[1].id, BOB, 1),
        ("missing", ALICES[5].id, ALICE, 5),
    ]


def _page_of_garbage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-4096:] = b"\x5a" * 4096
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _another_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE own_log ADD COLUMN more TEXT")


@pytest.mark.parametrize("spoil", [_page_of_garbage, _cut_short, _another_table])
async def test_a_file_that_is_damaged_as_such_is_not_opened(path: Path, spoil: Callable[[Path], None]) -> None:
    """A check reports the damage, and a node does not start with the file."""
    spoil(path)
    assert "file" in kinds(path)
    with pytest.raises(StoreError, match="the database is damaged"):
        Store.open(path, NETWORK, ALICE)


async def test_a_check_asks_whose_the_database_is(path: Path) -> None:
    """A database of another peer or network is not damaged, but a separate error."""
    with pytest.raises(StoreError, match="belongs to network"):
        check_up(path, bytes(32), ALICE)
    with pytest.raises(StoreError, match="belongs to peer"):
        check_up(path, NETWORK, BOB)


async def test_a_check_reads_beside_a_running_node(path: Path) -> None:
    """The node's newest writes are read too, and no file is left."""
    more = log_of(SEEDS[1], 8)[6:]
    async with running(path) as (_, journal, _):
        await journal.persist([Kept(record, True) for record in more], [])
        found = check_up(path, None, ALICE)
    assert (found.records, found.own_records, found.answers, found.evidence, found.faults) == (14, 6, 1, 1, ())
    assert names(path.parent) == [path.name]


@tested(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_bit_of_the_file_is_lost_silently(path: Path, data: st.DataObject) -> None:
    """Any flipped bit of the file has no effect, or the loss is reported, or the file is refused."""
    whole = content(path)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    spoilt = path.with_name("spoilt.db")
    write(spoilt, flipped(whole, bit))
    try:
        named = bool(kinds(spoilt))
    except StoreError:  # the file seems to be of another program, version, network or peer
        named = True
    try:
        async with running(spoilt) as (store, _, free):
            assert free == 6
            damaged = store.statistics()["records_damaged"]
            assert [record for record in store.load_records() if record not in ALL] == [] or damaged == 1
            assert set(store.load_records()) == ALL or damaged == 1
            assert named or not damaged
    except StoreError:
        assert named
    remove(spoilt)
