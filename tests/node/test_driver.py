"""The driver between a machine and its surroundings: order, limits, faults."""

from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import (
    AskFailed,
    Compute,
    Computed,
    Effect,
    Event,
    FetchEvidence,
    Finalised,
    GossipArrived,
    Persist,
    Publish,
    RequestArrived,
    Respond,
    ResponseArrived,
    Send,
    StoredEvidence,
    Tick,
    TrainingDone,
    TrainingJob,
    TwinMet,
    WriteRecord,
)
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Kind
from p2pverify.core.training.orders import DrawnRows, TrainingFailed, TrainOrder
from p2pverify.node import ports
from p2pverify.node.messages import BATCH_RECORDS_MAX
from p2pverify.node.outbox import EFFECTS_MAX
from p2pverify.node.reports.signing import TWIN, standstill
from p2pverify.node.requests.tickets import TICKETS_MAX
from p2pverify.node.user_error import TwinError, UserError
from tests.node.bench import SEEDS, SOURCE, Bench, on_request, record
from tests.support.networks import MANIFEST
from tests.support.training import RULE


async def test_publishing_fills_messages_up_to_their_limits(autojump_clock, nursery):
    """Forty records travel in three messages, in order."""
    data = tuple(record(SEEDS[0], n).data for n in range(40))
    bench = Bench(on_request(Publish(data), Respond(1, b"")))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    await wait_all_tasks_blocked()
    found = [decode(message, size_max=200_000) for message in bench.network.messages]
    assert [len(batch) for batch in found] == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 8]
    assert tuple(item for batch in found for item in batch) == data
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"yes", ResponseArrived(7, b"yes", 1)),
        (ports.AskError("unreachable"), AskFailed(7, "unreachable")),
        (RuntimeError("a bug"), AskFailed(7, "failed")),
        (None, AskFailed(7, "timeout")),
    ],
)
async def test_every_request_sent_ends_in_one_event(autojump_clock, nursery, reply, expected):
    """The event is a response, a refusal, a fault of the adapter, or a timeout at the deadline."""
    bench = Bench(lambda event: [])
    bench.network.reply = lambda peer, request: reply
    now = bench.driver.now_ms()
    bench.machine.script = on_request(Send(7, SOURCE, b"question", now + 3_000), Respond(1, b""))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    with trio.fail_after(10):
        assert await bench.machine.wait_events(type(expected)) == [expected]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("relayed", "elapsed_ms"), [(False, 1), (True, 0)])
async def test_an_answer_through_a_relay_has_no_time(autojump_clock, nursery, relayed, elapsed_ms):
    """A time of 0 is no sample of speed, so no relay can make a peer look slow."""
    bench = Bench(lambda event: [])
    bench.network.relayed = relayed
    now = bench.driver.now_ms()
    bench.machine.script = on_request(Send(7, SOURCE, b"question", now + 3_000), Respond(1, b""))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    with trio.fail_after(10):
        (came,) = await bench.machine.wait_events(ResponseArrived)
    assert came.elapsed_ms == elapsed_ms


async def test_evidence_is_fetched_and_its_failure_is_one_too(autojump_clock, nursery):
    """A fetch ends in one event, like a request, but without a time."""
    bench = Bench(lambda event: [])
    replies = iter((b"evidence", ports.AskError("unreachable")))
    bench.network.reply = lambda peer, request: next(replies)
    deadline_ms = bench.driver.now_ms() + 3_000
    first, second = (FetchEvidence(number, SOURCE, b"which", deadline_ms) for number in (7, 8))
    bench.machine.script = on_request(first, second, Respond(1, b""))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    with trio.fail_after(10):
        (came,) = await bench.machine.wait_events(ResponseArrived)
        (failed,) = await bench.machine.wait_events(AskFailed)
    assert isinstance(came, ResponseArrived)
    assert (came.data, came.elapsed_ms) == (b"evidence", 0)
    assert isinstance(failed, AskFailed)
    assert failed.reason == "unreachable"
    assert {came.ask, failed.ask} == {7, 8}
    nursery.cancel_scope.cancel()


async def test_evidence_is_kept_until_it_is_too_old(autojump_clock, nursery):
    """Evidence is written before its effects, and removed up to the epoch that the newest write gives."""
    old, new = (StoredEvidence(epoch, 0, SOURCE, Output((1,), "length", bytes(32))) for epoch in (1, 9))
    bench = Bench(lambda event: [])
    await nursery.start(bench.driver.run, bench.network)
    for ticket, one, oldest in ((1, old, 0), (2, new, 5)):
        bench.machine.script = on_request(Persist(evidence=(one,), evidence_from=oldest), Respond(ticket, b""))
        await bench.driver.serve(b"request", SOURCE)
    assert bench.journal.evidence == [new]
    nursery.cancel_scope.cancel()


async def test_the_machine_hears_how_long_a_stream_waits(autojump_clock, nursery):
    """The machine gets the caller's time limit if there is one, because a later answer is useless."""
    bench = Bench(lambda event: [Respond(event.ticket, b"")] if isinstance(event, RequestArrived) else [])
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    with trio.fail_after(7):
        await bench.driver.serve(b"request", SOURCE)
    assert [event.waits_ms for event in bench.events(RequestArrived)] == [None, 7000]
    nursery.cancel_scope.cancel()


async def test_an_order_is_answered_when_its_record_is_on_disk(autojump_clock, nursery):
    """The operator hears the record's id after the write, and the reason if there is none."""
    one = record(SEEDS[0])
    effects = [Persist((one,)), Publish((one.data,)), Respond(1, b"+" + one.id)]
    bench = Bench(lambda event: effects if isinstance(event, WriteRecord) else [])
    await nursery.start(bench.driver.run, bench.network)
    assert await bench.driver.sign(Kind.DATASET, b"payload") == (one.id, None)
    assert bench.trace[0].startswith("writing")
    (order,) = bench.events(WriteRecord)
    assert order == WriteRecord(1, Kind.DATASET, b"payload")
    effects = [Respond(2, b"-it is over")]
    assert await bench.driver.sign(Kind.DATASET, b"payload") == (None, "it is over")
    bench.machine.script = lambda event: [Publish(())] * EFFECTS_MAX if isinstance(event, GossipArrived) else []
    bench.driver.judge(encode([b"x"]), SOURCE)
    assert await bench.driver.sign(Kind.DATASET, b"payload") == (None, "this node has too much to do")
    nursery.cancel_scope.cancel()


async def test_an_order_that_the_machine_fails_on_is_refused(autojump_clock, nursery):
    """A bug ends no node, and nobody waits for ever."""

    def script(event: Event) -> list[Effect]:
        if isinstance(event, WriteRecord):
            raise RuntimeError("a bug")
        return []

    bench = Bench(script)
    await nursery.start(bench.driver.run, bench.network)
    assert await bench.driver.sign(Kind.STATEMENT, b"") == (None, "this node could not take the order")
    assert bench.driver.statistics()["requests waiting"] == 0
    nursery.cancel_scope.cancel()


async def test_jobs_reach_the_engine_and_come_back(nursery):
    """A job runs in the engine's thread, and its outcome becomes an event."""
    job = Compute(3, Purpose.AUDIT, 2**53, Ask((), 4, 0, bytes(32)), b"seed" * 4, 5, model=MANIFEST.digest)
    bench = Bench(on_request(job, Respond(1, b"")))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    with trio.fail_after(5):
        (found,) = await bench.machine.wait_events(Computed)
    assert isinstance(found, Computed)
    assert (found.job, len(found.prompt), len(found.output.tokens)) == (3, 5, 4)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("message", [b"", b"\x80", b"\x81\x01", encode([b"x"] * 17), encode([b"x" * 70_000]), b"\xff"])
async def test_malformed_gossip_is_rejected_and_counted(message):
    """Messages that are no batch are rejected without the machine."""
    bench = Bench(lambda event: [])
    assert bench.driver.judge(message, SOURCE) is GossipVerdict.REJECT
    assert not bench.machine.events
    assert any(name.startswith("malformed gossip") for name in bench.driver.statistics())


async def test_a_disk_that_gives_no_record_back_ends_the_node(autojump_clock):
    """A fault of the own disk is no peer's doing. Nothing is sent after it."""
    bench = Bench(lambda event: [])

    def script(event: Event) -> list[Effect]:
        if isinstance(event, GossipArrived):
            bench.machine.effects = [Publish((b"half",))]
            raise UserError("a record was damaged on disk", "start again")
        return []

    bench.machine.script = script
    with pytest.RaisesGroup(pytest.RaisesExc(UserError, match="damaged on disk"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.driver.run, bench.network)
            assert bench.driver.judge(encode([b"x"]), SOURCE) is GossipVerdict.IGNORE
            await trio.sleep_forever()
    assert "published" not in bench.trace


async def test_a_fault_of_the_machine_is_contained(autojump_clock, nursery):
    """A bug that a peer's message triggers is counted. Earlier effects are still carried out."""
    one = record(SEEDS[0])
    bench = Bench(lambda event: [])

    def script(event: Event) -> list[Effect]:
        if isinstance(event, GossipArrived | RequestArrived):
            bench.machine.effects = [Persist((one,)), Publish((one.data,))]
            raise RuntimeError("a bug")
        return []

    bench.machine.script = script
    await nursery.start(bench.driver.run, bench.network)
    assert bench.driver.judge(encode([b"x"]), SOURCE) is GossipVerdict.IGNORE
    assert b"failed" in await bench.driver.serve(b"request", SOURCE)
    await wait_all_tasks_blocked()
    assert bench.driver.statistics()["internal faults"] == 2
    assert bench.trace[0].startswith("writing")
    assert bench.trace[-1] == "published"
    nursery.cancel_scope.cancel()


async def test_beyond_its_limits_the_node_says_busy(autojump_clock, nursery):
    """With a full outbox, or with too many waiting requests, non-members are refused without the machine."""
    bench = Bench(lambda event: [])
    bench.machine.script = lambda event: [Publish(())] * EFFECTS_MAX if isinstance(event, GossipArrived) else []
    bench.driver.judge(encode([b"x"]), SOURCE)
    before = len(bench.machine.events)
    assert bench.driver.judge(encode([b"x"]), SOURCE) is GossipVerdict.IGNORE
    assert b"busy" in await bench.driver.serve(b"request", SOURCE)
    assert len(bench.machine.events) == before
    await nursery.start(bench.driver.run, bench.network)
    await wait_all_tasks_blocked()
    for _ in range(TICKETS_MAX):
        nursery.start_soon(bench.driver.serve, b"request", SOURCE)
    await wait_all_tasks_blocked()
    assert b"busy" in await bench.driver.serve(b"request", SOURCE)
    nursery.cancel_scope.cancel()


async def test_an_asker_who_goes_away_leaves_nothing_behind(autojump_clock, nursery):
    """The response to a request with a closed stream is dropped, and its place is free again."""
    bench = Bench(lambda event: [])
    await nursery.start(bench.driver.run, bench.network)
    with trio.move_on_after(1):
        await bench.driver.serve(b"request", SOURCE)
    assert bench.driver.statistics()["requests waiting"] == 0
    bench.machine.script = lambda event: [Respond(1, b"late")] if isinstance(event, GossipArrived) else []
    bench.driver.judge(encode([b"x"]), SOURCE)
    await wait_all_tasks_blocked()
    assert bench.driver.statistics()["responses to nobody"] == 1
    nursery.cancel_scope.cancel()


async def test_a_silent_peer_never_answers(autojump_clock):
    """The silent cheat waits until its requester gives up."""
    bench = Bench(on_request(Respond(1, b"answer")), silent=True)
    with trio.move_on_after(3600) as scope:
        await bench.driver.serve(b"request", SOURCE)
    assert scope.cancelled_caught
    assert not bench.machine.events


async def test_ticks_come_when_the_machine_wants_them(autojump_clock, nursery):
    """The next tick comes at the wake time, or earlier if an event has changed it."""
    bench = Bench(lambda event: [])
    wake = bench.driver.now_ms() + 4_000
    bench.machine.next_wake_ms = lambda now_ms: wake  # type: ignore[method-assign]
    times: list[int] = []
    bench.machine.script = lambda event: times.append(bench.driver.now_ms()) or [] if isinstance(event, Tick) else []
    await nursery.start(bench.driver.run, bench.network)
    await wait_all_tasks_blocked()
    wake = bench.driver.now_ms() + 1_000
    bench.driver.judge(encode([b"x"]), SOURCE)
    await wait_all_tasks_blocked()
    with trio.fail_after(60):
        await bench.machine.wait_events(Tick, 2)
    assert times[1] - wake in range(2)
    nursery.cancel_scope.cancel()


async def test_a_twin_that_is_met_before_anything_is_signed_ends_the_start(autojump_clock):
    """The node ends with an error that gives the address of the other process. If it has signed something, it continues
    and reports it."""
    where = "at /ip4/192.0.2.1/tcp/4747"

    def bench_of() -> Bench:
        bench = Bench(lambda event: [])
        stop = bench.machine.context.silence.stop
        bench.machine.script = lambda event: stop(f"it runs {event.where}") or [] if isinstance(event, TwinMet) else []
        return bench

    fresh = bench_of()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(fresh.driver.run, fresh.network)
            fresh.driver.met_twin(where)

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(TwinError, match="192.0.2.1")
    bench = bench_of()
    bench.machine.context.has_signed = True
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.driver.run, bench.network)
        bench.driver.met_twin(where)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert "signs nothing any more" in standstill(bench.machine, bench.driver.now_ms())[TWIN]


async def test_final_cuts_are_told(autojump_clock, nursery):
    """Listeners are called for each cut that becomes final."""
    bench = Bench(lambda event: [Finalised(b"c" * 32, 4)] if isinstance(event, GossipArrived) else [])
    heard: list[str] = []
    bench.driver.on_final(lambda: heard.append("final"))
    bench.driver.judge(encode([b"x"]), SOURCE)
    assert heard == ["final"]


async def test_the_convicted_are_left_out_of_the_mesh(nursery: trio.Nursery) -> None:
    """Once a final cut finds somebody convicted, and at the next start at once; others are not mentioned."""
    bench = Bench(lambda event: [])
    fold, convict = bench.machine.fold, public_key(SEEDS[1])
    await nursery.start(bench.driver.run, bench.network)
    assert bench.network.excluded == []
    genesis = fold.latest
    convicted = replace(genesis.members[convict], convicted_epoch=3)
    later = replace(genesis, members={**genesis.members, convict: convicted})
    bench.machine.script = lambda event: [Finalised(b"c" * 32, 3)] if isinstance(event, GossipArrived) else []
    bench.driver.judge(encode([b"x"]), SOURCE)
    assert bench.network.excluded == []
    fold.latest = later
    bench.driver.judge(encode([b"y"]), SOURCE)
    assert bench.network.excluded == [frozenset({convict})]
    assert not bench.driver.is_member(convict)
    assert bench.driver.is_member(public_key(SEEDS[2]))
    assert not bench.driver.is_member(b"s" * 32)
    nursery.cancel_scope.cancel()


async def test_a_node_that_trains_nothing_refuses_orders(autojump_clock, nursery):
    """The machine hears why, so that it can give the order again after a restart with rows."""
    order = TrainOrder(0, 1, RULE, bytes(32), bytes(32), DrawnRows(bytes(32), 9, bytes(32), 4, 0, 2), bytes(32))
    bench = Bench(on_request(TrainingJob(3, order), Respond(1, b"")))
    await nursery.start(bench.driver.run, bench.network)
    await bench.driver.serve(b"request", SOURCE)
    (done,) = await bench.machine.wait_events(TrainingDone)
    assert (done.job, type(done.outcome)) == (3, TrainingFailed)
    nursery.cancel_scope.cancel()
