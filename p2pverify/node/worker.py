"""The engine worker: one job at a time in one thread, the most urgent first, then in order of arrival.

Jobs come from the machine's `Compute` effects and end as `Computed` or `ComputeFailed`. What an answer is
for, and what becomes of it, the worker does not know.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import trio

from p2pverify.core.events import Compute, Computed, ComputeFailed
from p2pverify.node.ports import Engine, Generated

JOBS_MAX = 1024
_REASON_CHARS_MAX = 200
log = logging.getLogger(__name__)


@dataclass(order=True, slots=True)
class _Entry:
    priority: int
    arrival: int
    job: Compute = field(compare=False)
    arrived_s: float = field(compare=False)


class Worker:
    """A bounded priority queue before one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._heap: list[_Entry] = []
        self._arrivals = 0
        self._woken = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self._done = 0
        self._failed = 0
        self._busy_ms = 0

    @property
    def is_busy(self) -> bool:
        """Whether a thread is inside the engine, perhaps one that a cancelled `run` left behind."""
        return self._limiter.borrowed_tokens > 0

    def submit_nowait(self, job: Compute) -> bool:
        """Queue a job; False if too many wait."""
        if len(self._heap) >= JOBS_MAX:
            return False
        self._arrivals += 1
        heappush(self._heap, _Entry(job.priority, self._arrivals, job, trio.current_time()))
        self._woken.set()
        return True

    async def run(self, feed: Callable[[Computed | ComputeFailed], None]) -> None:
        """Do jobs until cancelled; a cancelled run leaves the last job's thread to end by itself."""
        while True:
            while not self._heap:
                self._woken = trio.Event()
                await self._woken.wait()
            entry = heappop(self._heap)
            queue_ms = _ms(trio.current_time() - entry.arrived_s)
            began = trio.current_time()
            event = await trio.to_thread.run_sync(
                self._do,
                entry.job,
                queue_ms,
                limiter=self._limiter,
                abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
            )
            self._busy_ms += _ms(trio.current_time() - began)
            self._done += 1
            self._failed += isinstance(event, ComputeFailed)
            feed(event)

    def statistics(self) -> dict[str, int]:
        return {
            "jobs done": self._done,
            "jobs failed": self._failed,
            "jobs waiting": len(self._heap),
            "engine busy ms": self._busy_ms,
        }

    def _do(self, job: Compute, queue_ms: int) -> Computed | ComputeFailed:
        """One job, in the thread. Whatever the engine raises is the job's failure, not the node's."""
        try:
            prompt = job.prompt
            if job.prompt_seed is not None:
                prompt = self._engine.write_prompt(job.prompt_seed, job.prompt_tokens)
            made = Generated((), "length", 0, 0)
            if job.tokens_max > 0:
                made = self._engine.answer(
                    prompt,
                    tokens_max=job.tokens_max,
                    temperature_milli=job.temperature_milli,
                    sampler_key=job.sampler_key,
                )
        except Exception as error:
            log.warning("the engine failed: %s", error, exc_info=not isinstance(error, ValueError))
            return ComputeFailed(job.job, f"{type(error).__name__}: {error}"[:_REASON_CHARS_MAX])
        return Computed(job.job, tuple(prompt), made.tokens, made.finish, queue_ms, made.first_token_ms, made.total_ms)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
