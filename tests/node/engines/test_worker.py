"""The engine worker: order, failures, limits."""

import threading
from dataclasses import replace
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.contract.output import Ask
from p2pverify.core.events import OWN, REFEREE, Compute, Computed, ComputeFailed, MeasureDone, MeasureJob
from p2pverify.core.inference.jobs import Purpose
from p2pverify.node.engines import worker as module
from p2pverify.node.engines.referee import NO_REFEREE
from p2pverify.node.engines.refusals import EngineBusy
from p2pverify.node.engines.worker import Worker
from p2pverify.node.ports import Generated, Hear, ModelInfo, unheard
from tests.node.fakes import FakeEngine


class GatedEngine(FakeEngine):
    """Holds its first job until a test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        self.gate.wait(10)
        return super().answer(ask, hear)


FOREVER_MS = 2**53
#: Its clock stands still: two clocks that tick between two submissions would put equal deadlines in another order.
StillWorker = partial(Worker, clock=lambda: 0)


def job(
    number: int,
    purpose: Purpose = Purpose.AUDIT,
    *,
    prompt: tuple[int, ...] = (),
    tokens_max: int = 3,
    deadline_ms: int = FOREVER_MS,
) -> Compute:
    return Compute(number, purpose, deadline_ms, Ask(prompt or (number,), tokens_max, 0, bytes(32)), None, 5)


def written(number: int, *, tokens_max: int = 0, role: str = OWN) -> Compute:
    """A job whose prompt the engine writes."""
    return Compute(number, Purpose.AUDIT, FOREVER_MS, Ask((), tokens_max, 0, bytes(32)), b"s" * 16, 5, role)


async def done(worker: Worker, nursery: trio.Nursery, count: int, *jobs: Compute) -> list[Computed | ComputeFailed]:
    """The outcomes of `count` jobs, in order: the waiting jobs and these."""
    for each in jobs:
        worker.submit_nowait(each)
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


async def test_jobs_go_in_the_order_of_the_queue(nursery):
    """In each kind, the earliest deadline is first."""
    worker = StillWorker(FakeEngine())
    jobs = ((1, Purpose.AUDIT, 3), (2, Purpose.AUDIT, 2), (3, Purpose.VOTE, 4), (4, Purpose.VOTE, 1))
    for number, purpose, later in jobs:
        assert worker.submit_nowait(job(number, purpose, deadline_ms=FOREVER_MS + later * 60_000)) is None
    order = [event.job for event in await done(worker, nursery, 4)]
    assert order[0] == 4
    assert order.index(4) < order.index(3)
    assert order.index(2) < order.index(1)
    nursery.cancel_scope.cancel()


async def test_an_engine_that_fails_fails_one_job(nursery):
    """An exception of the engine becomes the job's failure, and the next job is done."""
    worker = StillWorker(FakeEngine())
    worker.submit_nowait(job(1, prompt=(666,)))
    worker.submit_nowait(job(2))
    first, second = await done(worker, nursery, 2)
    assert first == ComputeFailed(1, "ValueError: no such token")
    assert isinstance(second, Computed)
    assert worker.statistics()["jobs failed"] == 1
    nursery.cancel_scope.cancel()


async def test_a_prompt_is_written_and_answered_in_one_job(nursery):
    """With a seed the engine writes the prompt. With no tokens to make, there is no answer."""
    engine = FakeEngine()
    worker = StillWorker(engine)
    worker.submit_nowait(written(1, tokens_max=3))
    worker.submit_nowait(written(2))
    both, only_prompt = await done(worker, nursery, 2)
    assert isinstance(both, Computed)
    assert isinstance(only_prompt, Computed)
    assert both.prompt == only_prompt.prompt == engine.write_prompt(b"s" * 16, 5)
    assert (len(both.output.tokens), only_prompt.output.tokens) == (3, ())
    nursery.cancel_scope.cancel()


def score_job(number: int, tokens: tuple[int, ...]) -> MeasureJob:
    return MeasureJob(number, Purpose.AUDIT, FOREVER_MS, Ask((5, 6), 0, 0, bytes(32)), tokens)


async def test_the_referee_is_opened_by_its_first_job_and_once(nursery):
    """Jobs with the referee's role go to the referee, all others to the own engine."""
    own, referee, opened = FakeEngine(), FakeEngine(), []

    def open_referee() -> FakeEngine:
        opened.append(threading.get_ident())
        return referee

    worker = StillWorker(own, open_referee)
    worker.submit_nowait(job(1))
    worker.submit_nowait(written(2, role=REFEREE))
    worker.submit_nowait(score_job(3, (1, 2, 3)))
    assert not opened
    found = {event.job: event for event in await done(worker, nursery, 3)}
    assert len(opened) == 1
    assert opened[0] != threading.get_ident()
    assert own.jobs == ["answer 1"]
    assert sorted(referee.jobs) == ["answer 5", "score 5", "write"]
    prompt, scored = found[2], found[3]
    assert isinstance(prompt, Computed)
    assert prompt.prompt == referee.write_prompt(b"s" * 16, 5)
    assert isinstance(scored, MeasureDone)
    best = referee.answer(Ask((5, 6), 3, 0, bytes(32))).output.tokens
    assert scored.deficits == tuple(abs(token - want) for token, want in zip((1, 2, 3), best, strict=True))
    assert scored.ends == (False,) * 3
    nursery.cancel_scope.cancel()


async def test_foreign_tokens_are_no_failure_of_the_referee(nursery):
    """Tokens outside the vocabulary cannot be scored, so there are no margins and the engine is not called."""
    referee = FakeEngine()
    worker = StillWorker(FakeEngine(), lambda: referee)
    worker.submit_nowait(score_job(1, (1, referee.info.vocab_tokens)))
    worker.submit_nowait(score_job(2, (1, 2)))
    assert await done(worker, nursery, 2) == [MeasureDone(1, (), ()), MeasureDone(2, *_margins(referee))]
    assert referee.jobs.count("score 5") == 2  # the second job's, and this test's own
    nursery.cancel_scope.cancel()


def _margins(engine: FakeEngine) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    scored = engine.score(Ask((5, 6), 2, 0, bytes(32)), (1, 2))
    return scored.deficits, scored.ends


async def test_a_referee_that_cannot_be_opened_fails_its_jobs_and_is_said_once(nursery, caplog):
    """Each job's error says what to do. The node logs it once and continues with its own engine."""
    tries = []

    def open_referee() -> FakeEngine:
        tries.append(1)
        raise OSError("the weights are gone: put them back")

    worker = StillWorker(FakeEngine(), open_referee)
    for event in (score_job(1, (1,)), written(2, role=REFEREE), job(3)):
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
    """A node in a network without a referee has none."""
    worker = StillWorker(FakeEngine())
    worker.submit_nowait(score_job(1, (1,)))
    (failed,) = await done(worker, nursery, 1)
    assert failed == ComputeFailed(1, NO_REFEREE)
    nursery.cancel_scope.cancel()


class LanesEngine(GatedEngine):
    """Takes four calls at a time, and holds each until a test releases it."""

    @property
    def info(self) -> ModelInfo:
        return replace(super().info, lanes=4)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        self.jobs.append(f"begun {ask.prompt[0]}")
        return super().answer(ask, hear)


async def test_an_engine_with_lanes_does_several_jobs_at_a_time(nursery):
    """However many requests wait, an audit and a vote begin at once. All have their outcomes."""
    engine = LanesEngine()
    worker = StillWorker(engine)
    fed: list[Computed] = []
    nursery.start_soon(worker.run, fed.append)
    for number in range(1, 9):
        worker.submit_nowait(job(number, Purpose.REQUEST))
    await wait_all_tasks_blocked()
    assert worker.statistics()["jobs waiting"] == 6
    worker.submit_nowait(job(11, Purpose.AUDIT))
    worker.submit_nowait(job(12, Purpose.VOTE))
    await wait_all_tasks_blocked()
    assert worker.statistics()["jobs waiting"] == 6
    with trio.fail_after(10):
        while len(engine.jobs) < 4:  # each begins in a thread of its own
            await trio.lowlevel.checkpoint()
    assert sorted(engine.jobs) == ["begun 1", "begun 11", "begun 12", "begun 2"]
    engine.gate.set()
    with trio.fail_after(10):
        while len(fed) < 10:
            await trio.lowlevel.checkpoint()
    assert sorted(event.job for event in fed) == [*range(1, 9), 11, 12]
    assert worker.statistics()["jobs done"] == 10
    nursery.cancel_scope.cancel()


async def test_too_many_jobs_are_refused(monkeypatch):
    """The queue is bounded for each kind of work."""
    monkeypatch.setattr("p2pverify.core.inference.jobs.WAITING_MAX", 2)
    worker = StillWorker(FakeEngine())
    dropped = ComputeFailed(2, module.TOO_MANY, is_dropped=True)
    assert [worker.submit_nowait(job(n)) for n in range(3)] == [None, None, dropped]
    assert worker.submit_nowait(job(3, Purpose.VOTE)) is None
    assert worker.statistics()["jobs dropped"] == worker.statistics()["dropped audits"] == 1


async def test_a_cancelled_worker_leaves_its_thread_and_says_so():
    """Shutting down does not wait for a long answer. The engine counts as busy until its thread ends."""
    engine = GatedEngine()
    worker = StillWorker(engine)
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
    """The call comes after urgent jobs and returns its result or raises its error. The machine gets no event."""
    engine = GatedEngine()
    worker = StillWorker(engine)
    fed: list[object] = []
    results: list[object] = []

    async def call(do):
        try:
            results.append(await worker.call(do))
        except ValueError as error:
            results.append(str(error))

    def fail(_engine):
        raise ValueError("no such thing")

    nursery.start_soon(worker.run, fed.append)
    worker.submit_nowait(job(1))
    await wait_all_tasks_blocked()
    nursery.start_soon(call, lambda own: own.encode_chat("hi"))
    nursery.start_soon(call, fail)
    await wait_all_tasks_blocked()
    worker.submit_nowait(job(2))
    engine.gate.set()
    with trio.fail_after(10):
        while len(results) < 2 or len(fed) < 2:
            await trio.lowlevel.checkpoint()
    assert set(results) == {(104, 105), "no such thing"}
    assert [event.job for event in fed] == [1, 2]
    assert engine.jobs[:2] == ["answer 1", "answer 2"]
    nursery.cancel_scope.cancel()


async def test_too_much_is_refused_to_the_node_as_well(monkeypatch):
    monkeypatch.setattr("p2pverify.core.inference.jobs.WAITING_MAX", 0)
    worker = StillWorker(FakeEngine())
    with pytest.raises(EngineBusy):
        await worker.call(lambda engine: engine.info)


class TimedEngine(FakeEngine):
    """Reports ten seconds a token for each answer, but takes no time."""

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        made = super().answer(ask, hear)
        return replace(made, first_token_ms=0, total_ms=10_000 * ask.tokens_max)


async def test_what_cannot_end_in_time_is_dropped_counted_and_logged_at_once(nursery, caplog):
    """The estimate comes from earlier jobs. Each job has its outcome, and one line of the log covers all dropped
    jobs."""
    now_ms = 1_000_000_000
    engine = TimedEngine()
    worker = Worker(engine, clock=lambda: now_ms)
    async with trio.open_nursery() as first:
        assert isinstance((await done(worker, first, 1, job(1)))[0], Computed)
        first.cancel_scope.cancel()
    for number in (2, 3):
        worker.submit_nowait(job(number, Purpose.VOTE, deadline_ms=now_ms - number))
    worker.submit_nowait(job(4, Purpose.REQUEST, deadline_ms=now_ms + 20_000))
    worker.submit_nowait(job(5, deadline_ms=now_ms + 20_000, tokens_max=1))
    found = {event.job: event for event in await done(worker, nursery, 4)}
    assert found == {number: ComputeFailed(number, module.TOO_LATE, is_dropped=True) for number in (2, 3, 4)} | {
        5: found[5]
    }
    assert isinstance(found[5], Computed)
    assert engine.jobs == ["answer 1", "answer 5"]
    figures = worker.statistics()
    assert (figures["jobs done"], figures["jobs failed"], figures["jobs late"], figures["jobs dropped"]) == (2, 0, 0, 3)
    assert (figures["dropped requests"], figures["dropped votes"], figures["dropped audits"]) == (1, 2, 0)
    assert caplog.text.count("this machine is behind") == 1
    assert "requests: 1, votes: 2" in caplog.text
    nursery.cancel_scope.cancel()


async def test_age_and_lateness_are_shown(nursery, mock_clock):
    """The statistics have the age of the oldest waiting job and the number of late jobs, by a monotonic clock."""
    engine = GatedEngine()
    worker = Worker(engine, clock=lambda: 0)
    worker.submit_nowait(job(1, deadline_ms=500))
    nursery.start_soon(worker.run, lambda event: None)
    await wait_all_tasks_blocked()
    worker.submit_nowait(job(2))
    mock_clock.jump(7)
    assert (worker.statistics()["jobs waiting"], worker.statistics()["oldest waiting ms"]) == (1, 7000)
    engine.gate.set()
    while worker.statistics()["jobs done"] < 2:
        await trio.lowlevel.checkpoint()
    figures = worker.statistics()
    assert (figures["jobs late"], figures["jobs waiting"], figures["oldest waiting ms"]) == (1, 0, 0)
    nursery.cancel_scope.cancel()
