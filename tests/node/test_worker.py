"""The engine worker: order, failures, bounds."""

import threading
from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.events import REFEREE, Compute, Computed, ComputeFailed, Score, Scored
from p2pverify.node import worker as module
from p2pverify.node.ports import Generated
from p2pverify.node.worker import EngineBusy, Worker
from tests.node.fakes import FakeEngine


class GatedEngine(FakeEngine):
    """Holds its first job until a test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def answer(
        self, prompt: Sequence[int], *, tokens_max: int, temperature_milli: int, sampler_key: bytes
    ) -> Generated:
        self.gate.wait(10)
        return super().answer(
            prompt, tokens_max=tokens_max, temperature_milli=temperature_milli, sampler_key=sampler_key
        )


def job(number: int, *, priority: int = 0, prompt: tuple[int, ...] = (), tokens_max: int = 3) -> Compute:
    return Compute(number, priority, None, 5, prompt or (number,), tokens_max, 0, bytes(32))


async def done(worker: Worker, nursery: trio.Nursery, count: int) -> list[Computed | ComputeFailed]:
    """The outcomes of so many jobs, in order."""
    found: list[Computed | ComputeFailed] = []
    enough = trio.Event()

    def feed(event: Computed | ComputeFailed) -> None:
        found.append(event)
        if len(found) == count:
            enough.set()

    nursery.start_soon(worker.run, feed)
    with trio.fail_after(10):
        await enough.wait()
    return found


async def test_urgent_jobs_go_first_and_equals_in_order(nursery):
    """Waiting jobs are sorted by priority, then by arrival."""
    worker = Worker(FakeEngine())
    for number, priority in ((1, 2), (2, 1), (3, 0), (4, 1), (5, 0)):
        assert worker.submit_nowait(job(number, priority=priority))
    assert [event.job for event in await done(worker, nursery, 5)] == [3, 5, 2, 4, 1]
    nursery.cancel_scope.cancel()


async def test_an_engine_that_fails_fails_one_job(nursery):
    """An exception of the engine becomes the job's failure, and the next job is done."""
    worker = Worker(FakeEngine())
    worker.submit_nowait(job(1, prompt=(666,)))
    worker.submit_nowait(job(2))
    first, second = await done(worker, nursery, 2)
    assert first == ComputeFailed(1, "ValueError: no such token")
    assert isinstance(second, Computed)
    assert worker.statistics()["jobs failed"] == 1
    nursery.cancel_scope.cancel()


async def test_a_prompt_is_written_and_answered_in_one_job(nursery):
    """With a seed the prompt comes from the engine; without tokens to make there is no answer."""
    engine = FakeEngine()
    worker = Worker(engine)
    worker.submit_nowait(Compute(1, 0, b"s" * 16, 5, (), 3, 0, bytes(32)))
    worker.submit_nowait(Compute(2, 0, b"s" * 16, 5, (), 0, 0, bytes(32)))
    both, only_prompt = await done(worker, nursery, 2)
    assert isinstance(both, Computed)
    assert isinstance(only_prompt, Computed)
    assert both.prompt == only_prompt.prompt == engine.write_prompt(b"s" * 16, 5)
    assert (len(both.tokens), only_prompt.tokens) == (3, ())
    nursery.cancel_scope.cancel()


def score_job(number: int, tokens: tuple[int, ...]) -> Score:
    return Score(number, 0, (5, 6), tokens, 0, bytes(32))


async def test_the_referee_is_opened_by_its_first_job_and_once(nursery):
    """Jobs of its role go to it, all others to the own engine."""
    own, referee, opened = FakeEngine(), FakeEngine(), []

    def open_referee() -> FakeEngine:
        opened.append(threading.get_ident())
        return referee

    worker = Worker(own, open_referee)
    worker.submit_nowait(job(1))
    worker.submit_nowait(Compute(2, 1, b"s" * 16, 5, (), 0, 0, bytes(32), REFEREE))
    worker.submit_nowait(score_job(3, (1, 2, 3)))
    assert not opened
    found = {event.job: event for event in await done(worker, nursery, 3)}
    assert len(opened) == 1
    assert opened[0] != threading.get_ident()
    assert own.jobs == ["answer 1"]
    assert sorted(referee.jobs) == ["answer 5", "score 5", "write"]
    written, scored = found[2], found[3]
    assert isinstance(written, Computed)
    assert written.prompt == referee.write_prompt(b"s" * 16, 5)
    assert isinstance(scored, Scored)
    best = referee.answer((5, 6), tokens_max=3, temperature_milli=0, sampler_key=bytes(32)).tokens
    assert scored.deficits == tuple(abs(token - want) for token, want in zip((1, 2, 3), best, strict=True))
    assert scored.ends == (False,) * 3
    nursery.cancel_scope.cancel()


async def test_foreign_tokens_are_no_failure_of_the_referee(nursery):
    """What is not of the vocabulary cannot be scored by anybody: there are no margins, and the engine is not asked."""
    referee = FakeEngine()
    worker = Worker(FakeEngine(), lambda: referee)
    worker.submit_nowait(score_job(1, (1, referee.info.vocab_tokens)))
    worker.submit_nowait(score_job(2, (1, 2)))
    assert await done(worker, nursery, 2) == [Scored(1, (), ()), Scored(2, *_margins(referee))]
    assert referee.jobs.count("score 5") == 2  # the second job's, and this test's own
    nursery.cancel_scope.cancel()


def _margins(engine: FakeEngine) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    scored = engine.score((5, 6), (1, 2), temperature_milli=0, sampler_key=bytes(32))
    return scored.deficits, scored.ends


async def test_a_referee_that_cannot_be_opened_fails_its_jobs_and_is_said_once(nursery, caplog):
    """Each job says what to do; the node says it once, and goes on with its own engine."""
    tries = []

    def open_referee() -> FakeEngine:
        tries.append(1)
        raise OSError("the weights are gone: put them back")

    worker = Worker(FakeEngine(), open_referee)
    for event in (score_job(1, (1,)), Compute(2, 0, b"s" * 16, 5, (), 0, 0, bytes(32), REFEREE), job(3)):
        worker.submit_nowait(event)
    first, second, third = await done(worker, nursery, 3)
    assert isinstance(first, ComputeFailed)
    assert "put them back" in first.reason
    assert second == ComputeFailed(2, first.reason)
    assert isinstance(third, Computed)
    assert len(tries) == 1
    assert caplog.text.count("put them back") == 1
    nursery.cancel_scope.cancel()


async def test_without_a_referee_its_jobs_fail(nursery):
    """A node of a network without a referee has none."""
    worker = Worker(FakeEngine())
    worker.submit_nowait(score_job(1, (1,)))
    (failed,) = await done(worker, nursery, 1)
    assert failed == ComputeFailed(1, module.NO_REFEREE)
    nursery.cancel_scope.cancel()


async def test_too_many_jobs_are_refused(monkeypatch):
    """The queue is bounded."""
    monkeypatch.setattr(module, "JOBS_MAX", 2)
    worker = Worker(FakeEngine())
    assert [worker.submit_nowait(job(n)) for n in range(3)] == [True, True, False]


async def test_a_cancelled_worker_leaves_its_thread_and_says_so():
    """Shutting down does not wait for a long answer; the engine counts as busy until its thread is done."""
    engine = GatedEngine()
    worker = Worker(engine)
    worker.submit_nowait(job(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, lambda event: None)
        await wait_all_tasks_blocked()
        assert worker.is_busy
        nursery.cancel_scope.cancel()
    assert worker.is_busy
    engine.gate.set()
    with trio.fail_after(5):
        while worker.is_busy:
            await trio.lowlevel.checkpoint()


async def test_what_the_node_asks_of_its_engine_waits_its_turn(nursery):
    """It comes after the urgent jobs, with its result, or with what it raised; the machine hears nothing of it."""
    engine = GatedEngine()
    worker = Worker(engine)
    fed: list[object] = []
    results: list[object] = []

    async def call(do):
        try:
            results.append(await worker.call(do, priority=3))
        except ValueError as error:
            results.append(str(error))

    def fail(_engine):
        raise ValueError("no such thing")

    nursery.start_soon(worker.run, fed.append)
    assert worker.submit_nowait(job(1))
    await wait_all_tasks_blocked()
    nursery.start_soon(call, lambda own: own.encode_chat("hi"))
    nursery.start_soon(call, fail)
    await wait_all_tasks_blocked()
    assert worker.submit_nowait(job(2))
    engine.gate.set()
    with trio.fail_after(10):
        while len(results) < 2 or len(fed) < 2:
            await trio.lowlevel.checkpoint()
    assert set(results) == {(104, 105), "no such thing"}
    assert [event.job for event in fed] == [1, 2]
    assert engine.jobs[:2] == ["answer 1", "answer 2"]
    nursery.cancel_scope.cancel()


async def test_too_much_is_refused_to_the_node_as_well(monkeypatch):
    monkeypatch.setattr(module, "JOBS_MAX", 1)
    worker = Worker(FakeEngine())
    assert worker.submit_nowait(job(1))
    with pytest.raises(EngineBusy):
        await worker.call(lambda engine: engine.info, priority=3)
