"""The driver and the disk: records are written before they are sent, and a full disk is waited for."""

from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import (
    Effect,
    Event,
    GossipArrived,
    Judged,
    Persist,
    Publish,
    Respond,
    StoredAnswer,
)
from p2pverify.core.records.floors import Floor, Prune
from p2pverify.node.journal import JournalStalled
from tests.node.bench import NETWORK, SEEDS, SOURCE, Bench, on_request, record


async def test_nothing_is_said_before_it_is_written(autojump_clock, nursery):
    """While the disk is busy, nothing is answered or published. Then first the answer is sent, then the records."""
    one = record(SEEDS[0])
    bench = Bench(on_request(Persist((one,)), Publish((one.data,)), Respond(1, b"answer")))
    bench.journal.gate = trio.Event()
    await nursery.start(bench.driver.run, bench.network)

    async def ask() -> None:
        assert await bench.driver.serve(b"request", SOURCE) == b"answer"
        bench.trace.append("answered")

    nursery.start_soon(ask)
    await bench.journal.writing.wait()
    await wait_all_tasks_blocked()
    assert bench.trace == ["writing 1+0"]
    bench.journal.gate.set()
    await wait_all_tasks_blocked()
    assert bench.trace[:3] == ["writing 1+0", "written", "published"]
    assert "answered" in bench.trace
    nursery.cancel_scope.cancel()


async def test_what_gathers_while_the_disk_is_busy_is_one_commit(autojump_clock, nursery):
    """Three events during a slow write give one more write and one gossip message."""
    bench = Bench(lambda event: [])
    bench.journal.gate = trio.Event()
    await nursery.start(bench.driver.run, bench.network)
    records = [record(SEEDS[0], n) for n in range(4)]
    upcoming = iter(records)

    def script(event: Event) -> list[Effect]:
        if not isinstance(event, GossipArrived):
            return []
        one = next(upcoming)
        return [Persist((one,)), Publish((one.data,)), Judged((GossipVerdict.ACCEPT,))]

    bench.machine.script = script
    message = encode([b"x"])
    assert bench.driver.judge(message, SOURCE) is GossipVerdict.ACCEPT
    await bench.journal.writing.wait()
    for _ in range(3):
        bench.driver.judge(message, SOURCE)
    bench.journal.gate.set()
    await wait_all_tasks_blocked()
    assert [line for line in bench.trace if line.startswith("writing")] == ["writing 1+0", "writing 3+0"]
    assert decode(bench.network.messages[-1], size_max=10_000) == [r.data for r in records[1:]]
    nursery.cancel_scope.cancel()


async def test_a_failed_write_ends_the_node_and_nothing_more_is_done(autojump_clock):
    """If the disk fails, its error ends the driver, and neither answer nor records are sent."""
    one = record(SEEDS[0])
    bench = Bench(on_request(Persist((one,)), Respond(1, b"answer"), Publish((one.data,))))
    bench.journal.error = RuntimeError("the disk is full")
    answered: list[bytes] = []

    async def ask() -> None:
        answered.append(await bench.driver.serve(b"request", SOURCE))

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="disk is full"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.driver.run, bench.network)
            nursery.start_soon(ask)
    assert not answered
    assert bench.trace == ["writing 1+0"]


async def test_a_full_disk_is_waited_for(autojump_clock, nursery):
    """Nothing is sent before it is written, nothing more is accepted or signed, and everything continues when there is
    room."""
    one = record(SEEDS[0])
    bench = Bench(on_request(Persist((one,)), Respond(1, b"answer"), Publish((one.data,))))
    bench.journal.error = JournalStalled("the disk is full", "free some space; writing goes on by itself")
    answered: list[bytes] = []

    async def ask() -> None:
        answered.append(await bench.driver.serve(b"request", SOURCE))

    await nursery.start(bench.driver.run, bench.network)
    nursery.start_soon(ask)
    await trio.sleep(60)
    context = bench.machine.context
    assert context.cannot_store == "the disk is full; free some space; writing goes on by itself"
    assert not context.may_write(NETWORK.params.epoch_start_ms(100))
    assert not answered
    assert b"busy" in await bench.driver.serve(b"another", SOURCE)
    assert bench.driver.judge(encode([record(SEEDS[1]).data]), SOURCE) is GossipVerdict.IGNORE
    assert set(bench.trace) == {"writing 1+0"}
    assert bench.driver.statistics()["commits tried in vain"] > 10
    bench.journal.error = None
    await trio.sleep(5)
    assert answered == [b"answer"]
    assert bench.trace[-2:] == ["written", "published"]
    assert context.may_write(NETWORK.params.epoch_start_ms(100))
    nursery.cancel_scope.cancel()


async def test_own_records_from_others_are_marked(autojump_clock, nursery):
    """Received records are marked as received, and own records are not, so that the store can refuse own records from
    others."""
    theirs, ours = record(SEEDS[1]), record(SEEDS[0])
    bench = Bench(lambda event: [])
    bench.machine.script = lambda event: (
        [Persist((theirs,)), Judged((GossipVerdict.ACCEPT,)), Persist((ours,)), Publish((ours.data,))]
        if isinstance(event, GossipArrived)
        else []
    )
    await nursery.start(bench.driver.run, bench.network)
    bench.driver.judge(encode([theirs.data]), SOURCE)
    await wait_all_tasks_blocked()
    assert [(kept.record, kept.received) for kept in bench.journal.kept] == [(theirs, True), (ours, False)]
    nursery.cancel_scope.cancel()


async def test_answers_are_stored_before_they_leave(autojump_clock, nursery):
    """A computed answer is written and then sent."""
    answer = StoredAnswer(SOURCE, b"q" * 32, Output((1, 2), "length"))
    bench = Bench(on_request(Persist(answers=(answer,)), Respond(1, b"answer")))
    await nursery.start(bench.driver.run, bench.network)
    assert await bench.driver.serve(b"request", SOURCE) == b"answer"
    assert bench.journal.answers == [answer]
    nursery.cancel_scope.cancel()


async def test_what_a_disk_may_forget_is_said_with_the_records_before(autojump_clock, nursery):
    """Two horizons of one commit become one. Authors that are gone by the first are named with the second."""
    one = record(SEEDS[0])
    first = Prune((bytes(32),), (b"a",), {SOURCE: Floor(3, bytes(32), 1, 0)}, gone=(bytes(32),))
    second = Prune((bytes([1]) * 32,), (b"b",), {SOURCE: Floor(5, bytes(32), 2, 4)}, gone=(bytes([1]) * 32,))
    bench = Bench(on_request(Persist((one,)), first, second, Respond(1, b"answer")))
    await nursery.start(bench.driver.run, bench.network)
    assert await bench.driver.serve(b"request", SOURCE) == b"answer"
    assert bench.journal.pruned == [replace(second, gone=(*first.gone, *second.gone))]
    assert [kept.record for kept in bench.journal.kept] == [one]
    assert bench.trace.count("written") == 1
    nursery.cancel_scope.cancel()
