"""Sync in the node: sessions between two drivers, slices, and a disk that is too slow."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.encoding.canon import encode
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import RecordsArrived
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.sync.messages import AskFinal, Fetch, Reconcile
from p2pverify.node.driver import Driver
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork
from tests.support.networks import MANIFEST, make_network, seeds

SEEDS = seeds(3)
NETWORK = make_network(SEEDS)
NOW = NETWORK.params.genesis_ms - 1  # no peer may sign records yet


def chain(seed: bytes, count: int) -> list[Record]:
    """Consecutive leaves. Only their being records matters."""
    found: list[Record] = []
    for number in range(count):
        prev = found[-1].id if found else NO_PREV
        fields = {"epoch": number // 200, "seq": number, "prev": prev, "kind": Kind.LEAVE, "payload": encode([])}
        found.append(make_record(seed, public_key(seed), NETWORK.id, **fields))
    return found


class Node:
    """A driver over a real machine, with a disk that a test can hold up."""

    def __init__(self, seed: bytes, records: list[Record] = []) -> None:  # noqa: B006  # never changed
        self.journal = FakeJournal()
        self.machine = Machine(NETWORK, seed, 0, MANIFEST, 512)
        self.driver = Driver(self.machine, self.journal, FakeEngine(), clock=lambda: NOW)
        assert self.driver.load([record.data for record in records], []) == len(records)

    @property
    def size(self) -> int:
        return len(self.machine.context.ledger)


async def synchronise(mine: Node, theirs: Node) -> int:
    """Run one session. Returns the number of its requests."""
    session = mine.driver.sync_session(theirs.machine.key)
    request, count = session.start(), 0
    while request is not None:
        count += 1
        step = session.receive(theirs.driver.sync_answer(request))
        request = step.request
        await mine.driver.take_records(step.records, theirs.machine.key)
    session.end()
    return count


async def test_a_late_joiner_gets_everything_and_keeps_it(nursery):
    """All records arrive and reach the disk. The next session has nothing to do."""
    alice, bob = Node(SEEDS[0], chain(SEEDS[2], 200)), Node(SEEDS[1])
    await nursery.start(bob.driver.run, FakeNetwork())
    await synchronise(bob, alice)
    assert bob.size == 200
    while len(bob.journal.kept) < 200:
        await trio.lowlevel.checkpoint()
    assert all(kept.received for kept in bob.journal.kept)
    assert await synchronise(bob, alice) == 2
    assert bob.driver.statistics()["sync sessions"] == 2
    assert alice.driver.statistics()["sync requests answered"] > 2
    nursery.cancel_scope.cancel()


async def test_others_have_their_turn_while_records_are_taken():
    """Between two slices, other tasks of the loop run."""
    bob = Node(SEEDS[1])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await bob.driver.take_records([record.data for record in chain(SEEDS[2], 150)], b"s" * 32)
        nursery.cancel_scope.cancel()
    assert bob.size == 150
    assert turns >= 2


async def test_a_full_outbox_slows_the_session_and_loses_nothing(nursery, monkeypatch):
    """While the disk is busy, taking stops. Afterwards it continues at the same place."""
    monkeypatch.setattr("p2pverify.node.outbox.EFFECTS_MAX", 2)
    bob = Node(SEEDS[1])
    bob.journal.gate = trio.Event()
    await nursery.start(bob.driver.run, FakeNetwork())
    done = trio.Event()

    async def take() -> None:
        await bob.driver.take_records([record.data for record in chain(SEEDS[2], 400)], b"s" * 32)
        done.set()

    nursery.start_soon(take)
    await bob.journal.writing.wait()
    await wait_all_tasks_blocked()
    assert not done.is_set()
    held = bob.size
    assert 0 < held < 400
    bob.journal.gate.set()
    await done.wait()
    assert bob.size == 400
    nursery.cancel_scope.cancel()


async def test_a_refused_record_says_nothing_of_the_others():
    """The other records of a slice with a bad record are accepted, and the bad one is counted."""
    bob = Node(SEEDS[1])
    records = [record.data for record in chain(SEEDS[2], 3)]
    await bob.driver.take_records([records[0], b"junk", records[1], records[2]], b"s" * 32)
    assert bob.size == 3
    assert bob.driver.statistics()["sync slices with a rejected record"] == 1


async def test_requests_of_strangers_are_read_strictly():
    """Malformed requests and requests of another network are refused and counted."""
    alice = Node(SEEDS[0])
    for request in (b"", b"\x80", encode(["final", 1]), Reconcile(b"n" * 32, b"\x61").encode()):
        with pytest.raises(RemoteProtocolError):
            alice.driver.sync_answer(request)
    assert alice.driver.statistics()["sync requests refused"] == 4
    assert alice.driver.sync_answer(AskFinal().encode()) == encode(["final", None])
    assert alice.driver.sync_answer(Fetch((bytes(32),)).encode()) == encode(["records", []])


async def test_a_fault_of_the_machine_does_not_end_the_session(monkeypatch):
    """A bug that a record triggers is counted, and the records after it are accepted."""
    bob = Node(SEEDS[1])
    records = [record.data for record in chain(SEEDS[2], 20)]
    real, calls = bob.machine.handle, []

    def handle(event, now_ms):
        calls.append(event)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return real(event, now_ms)

    monkeypatch.setattr(bob.machine, "handle", handle)
    await bob.driver.take_records(records, b"s" * 32)
    assert bob.driver.statistics()["internal faults"] == 1
    first = calls[0]
    assert isinstance(first, RecordsArrived)
    await bob.driver.take_records(first.records, b"s" * 32)
    assert bob.size == 20
