"""A node that starts from its stored base goes on as one that was never restarted, wherever it was killed."""

import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path

import pytest
import trio

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effect, Persist, RecordsArrived
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.floors import Prune
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.sponsor import Sponsor
from p2pverify.core.replica import horizon
from p2pverify.core.replica.verify import recomputed, verified_fold
from p2pverify.core.state.codec.roots import state_root
from p2pverify.node.driver import Driver
from p2pverify.node.engines.none import NoEngine
from p2pverify.node.journal import History, Kept
from p2pverify.store.errors import StoreError
from p2pverify.store.integrity.checkup import check_up
from p2pverify.store.journal import StoreJournal
from p2pverify.store.snapshot import take_snapshot
from p2pverify.store.sqlite import Store
from p2pverify.store.window import shelf
from tests.support.book import Book
from tests.support.networks import MANIFEST, make_network, seeds

FOUNDERS = seeds(4, "window")
NETWORK = make_network(FOUNDERS)
OWN = bytes([9]) * 32
KEY = sign.public_key(OWN)
EPOCHS = 40
NEVER = 2**62
CUTS = 8  # above the horizon, in these tests


@cache
def history() -> dict[int, tuple[bytes, ...]]:
    """The records of a small network, by the epoch in which they were written."""
    book = Book(NETWORK)
    found: dict[int, tuple[bytes, ...]] = {}
    for seed in FOUNDERS:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
    for epoch in range(1, EPOCHS + 1):
        before = 0 if epoch == 1 else len(book.order)
        for number, seed in enumerate(FOUNDERS[: 1 + epoch % 4]):
            book.say(seed, Kind.SPONSOR, Sponsor(sha256(bytes([epoch, number]))).encode(), epoch)
        book.step(FOUNDERS[epoch % 4], epoch, FOUNDERS)
        found[epoch] = tuple(record.data for record in book.order[before:])
    return found


@pytest.fixture(autouse=True)
def near_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A horizon that moves often, and few records in memory."""
    monkeypatch.setattr(horizon, "horizon_cuts", lambda _params: CUTS)
    monkeypatch.setattr(horizon, "PRUNE_CUTS", 3)
    monkeypatch.setattr(shelf, "RECORDS_KEPT", 5)


class Node:
    """A node without engine and network, which signs nothing. Without a `store` its records are in memory."""

    def __init__(self, store: Store | None = None, keeps: History = "window") -> None:
        self.machine = Machine(NETWORK, OWN, 0, MANIFEST, 1024, shelf=None if store is None else store.shelf)
        self.machine.context.quiet_until_ms = NEVER
        self._journal = None if store is None else StoreJournal(store, KEY, keeps)
        if self._journal is None:
            self.machine.load((), (), 0)
        else:
            self.taken = self._journal.load_into(Driver(self.machine, self._journal, NoEngine()))

    def handle(self, epoch: int) -> list[Effect]:
        """The effects of the records of an epoch."""
        at_ms = NETWORK.params.epoch_start_ms(epoch)
        return self.machine.handle(RecordsArrived(history()[epoch], bytes(32)), at_ms)

    async def carry_out(self, effects: Sequence[Effect]) -> None:
        """Write what the effects say, one by one."""
        for effect in effects:
            if self._journal is None:
                continue
            if isinstance(effect, Persist):
                await self._journal.persist([Kept(record, True) for record in effect.records], [])
            elif isinstance(effect, Prune):
                await self._journal.persist([], [], prune=effect)

    async def run(self, first: int, last: int) -> None:
        for epoch in range(first, last + 1):
            await self.carry_out(self.handle(epoch))

    def summary(self) -> tuple[object, ...]:
        """What the node would compute, and what it holds of the newest epochs. The horizon may move a cut later."""
        fold = self.machine.fold
        provisional = state_root(NETWORK.id, fold.provisional(fold.latest.epoch + 1))
        roots = fold.latest.id, state_root(NETWORK.id, fold.latest), provisional
        held = [record.id for record in fold.ledger.records() if record.epoch > EPOCHS - CUTS + 1]
        return (*roots, fold.ledger.heads(), held)


@asynccontextmanager
async def running(path: Path, keeps: History = "window") -> AsyncIterator[Node]:
    with closing(Store.open(path, NETWORK.id, KEY)) as store:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield Node(store, keeps)
            nursery.cancel_scope.cancel()


@pytest.fixture
async def never_restarted() -> Node:
    node = Node()
    await node.run(1, EPOCHS)
    return node


def change(path: Path, statement: str, *values: object) -> None:
    """Change a database in a way that no program of ours does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        assert database.execute(statement, values).rowcount
        for _, text in triggers:
            database.execute(text)


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM records").fetchone()[0])


@pytest.mark.parametrize("keeps", ["window", "all"])
async def test_a_restarted_node_is_as_one_that_was_never_restarted(
    tmp_path: Path, never_restarted: Node, keeps: History
) -> None:
    """After a start in each epoch it holds the same records, floors and states, and reads most records from disk."""
    path = tmp_path / "node.db"
    for epoch in range(1, EPOCHS + 1):
        async with running(path, keeps) as node:
            await node.run(epoch, epoch)
    async with running(path, keeps) as node:
        assert node.summary() == never_restarted.summary()
    assert node.machine.fold.ledger.floors()
    every = sum(map(len, history().values()))
    assert count(path) == (every if keeps == "all" else len(node.machine.fold.ledger))
    assert len(node.machine.fold.ledger) < every / 2
    assert check_up(path, NETWORK.id, KEY).faults == ()


async def test_records_are_not_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that wrote them judged them. Another version of it judges them once."""
    path, asked = tmp_path / "node.db", []
    async with running(path) as node:
        await node.run(1, EPOCHS)
    monkeypatch.setattr(Record, "is_signed", lambda record: asked.append(record.id) or True)
    async with running(path) as node:
        assert node.taken > 20
        assert asked == []
    for runs in (node.taken, 0):
        monkeypatch.setattr("p2pverify.store.journal.__version__", "another")
        async with running(path):
            assert len(asked) == runs
        asked.clear()


async def test_a_kill_at_any_effect_loses_nothing(tmp_path: Path, never_restarted: Node) -> None:
    """In each epoch that moves the horizon, the node dies after any number of its effects. Others send all again."""
    path, pruned = tmp_path / "node.db", 0
    for epoch in range(1, EPOCHS + 1):
        before, left = tmp_path / "before.db", 0
        if path.exists():
            shutil.copyfile(path, before)
        async with running(path) as node:
            effects = node.handle(epoch)
            await node.carry_out(effects)
        if not any(isinstance(effect, Prune) for effect in effects) or pruned == 3:
            continue
        pruned += 1
        for left in range(len(effects) + 1):
            killed = tmp_path / f"{epoch}-{left}.db"
            shutil.copyfile(before, killed)
            async with running(killed) as node:
                await node.carry_out(node.handle(epoch)[:left])
            async with running(killed) as node:
                await node.run(epoch, EPOCHS)
            async with running(killed) as node:
                assert node.summary() == never_restarted.summary()
    assert pruned == 3


async def test_a_damaged_record_above_the_base_is_fetched_again(tmp_path: Path, never_restarted: Node, caplog) -> None:
    """It is left out, named, and replaced."""
    path = tmp_path / "node.db"
    async with running(path) as node:
        await node.run(1, EPOCHS)
        last = node.machine.fold.ledger.last(sign.public_key(FOUNDERS[0]))
        assert last is not None
    change(path, "UPDATE records SET bytes = ? WHERE id = ?", last.data[:-1] + bytes([last.data[-1] ^ 1]), last.id)
    async with running(path) as node:
        assert f"record {last.id.hex()[:16]}" in caplog.text
        assert node.summary() != never_restarted.summary()
        await node.run(EPOCHS, EPOCHS)
        assert node.summary() == never_restarted.summary()
    assert check_up(path, NETWORK.id, KEY).faults == ()


@pytest.mark.parametrize("how", ["damaged", "lost"])
async def test_records_below_the_base_are_not_needed(tmp_path: Path, never_restarted: Node, caplog, how: str) -> None:
    """Nobody sends a settled record again. The node goes on from the base alone, and computes the same."""
    path = tmp_path / "node.db"
    async with running(path) as node:
        await node.run(1, EPOCHS - 5)
        ledger = node.machine.fold.ledger
        author = sign.public_key(FOUNDERS[0])
        record = ledger.at(author, ledger.first(author) + 1)
        assert record is not None
    if how == "damaged":
        change(path, "UPDATE records SET bytes = ? WHERE id = ?", record.data[:-1] + b"?", record.id)
    else:
        change(path, "DELETE FROM records WHERE id = ?", record.id)
    for first in (EPOCHS - 4, EPOCHS):
        async with running(path) as node:
            assert "below the stored state" in caplog.text
            await node.run(first, EPOCHS)
            assert node.summary()[:3] == never_restarted.summary()[:3]
        caplog.clear()
        if first < EPOCHS:
            break


async def test_a_state_of_another_root_is_noticed(tmp_path: Path) -> None:
    """The cut's record names the root of its state. A whole, but exchanged state does not start a node."""
    path = tmp_path / "node.db"
    async with running(path) as node:
        await node.run(1, EPOCHS)
    with closing(Store.open(path, NETWORK.id, KEY)) as store:
        assert store.base is not None
        cuts = (store.base.cuts[1], store.base.cuts[0], *store.base.cuts[2:])
        object.__setattr__(store.base, "cuts", cuts)
        with pytest.raises(StoreError, match="stored state is damaged"):
            Node(store)


async def test_a_home_that_keeps_all_can_do_without_its_state(tmp_path: Path, never_restarted: Node, caplog) -> None:
    """A damaged state is computed from the first record on."""
    path = tmp_path / "node.db"
    async with running(path, "all") as node:
        await node.run(1, EPOCHS)
    change(path, "UPDATE states SET bytes = zeroblob(9)")
    async with running(path, "all") as node:
        assert "computed from all records" in caplog.text
        assert node.taken == sum(map(len, history().values()))
        assert node.summary()[:3] == never_restarted.summary()[:3]


async def test_an_export_of_a_pruned_home_begins_at_its_base(tmp_path: Path, never_restarted: Node) -> None:
    """With the base its last cut verifies. One of a home that keeps all begins with the network."""
    latest = never_restarted.machine.fold.latest
    for keeps in ("window", "all"):
        path = tmp_path / f"{keeps}.db"
        async with running(path, keeps) as node:
            await node.run(1, EPOCHS)
        found = take_snapshot(path, NETWORK, None)
        assert (found.header.cut, found.damaged) == (latest.id, [])
        assert (found.base is None) is (keeps == "all")
        fold = verified_fold(NETWORK.id, NETWORK.encode(), found.header.cut, found.records, base=found.base)
        figures = recomputed(fold, found.header.cut)
        assert figures.totals == tuple(sorted(latest.totals.items()))
        assert figures.records_after == 5
        assert fold.ledger.is_whole is (keeps == "all")


async def test_a_waiting_record_that_is_on_disk_already_does_not_stay_in_memory(tmp_path: Path) -> None:
    """The ledger takes it later, when the records before it have come."""
    path, waits_for = tmp_path / "node.db", history()[2]
    async with running(path) as node:
        at_ms = NETWORK.params.epoch_start_ms(2)
        await node.carry_out(node.machine.handle(RecordsArrived(waits_for, bytes(32)), at_ms))
        await node.run(1, 1)
        shelved = node.machine.fold.ledger._shelf
        assert isinstance(shelved, shelf.DiskShelf)
        assert shelved._unwritten == {}
        assert node.machine.fold.latest.epoch == 2
