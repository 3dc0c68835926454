"""The engine worker: order, failures, bounds."""

import threading
from collections.abc import Sequence

import trio
from trio.testing import wait_all_tasks_blocked

from p2pverify.core.events import Compute, Computed, ComputeFailed
from p2pverify.node import worker as module
from p2pverify.node.ports import Generated
from p2pverify.node.worker import Worker
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
