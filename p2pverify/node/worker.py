"""The engine worker: one job at a time in one thread, the most urgent first, then in order of arrival.

Jobs come from the machine's `Compute` and `Score` effects and end as `Computed`, `Scored` or `ComputeFailed`. Own
engine and referee share the thread; the referee is opened with its first job. What an answer is for, and what becomes
of it, the worker does not know.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeVar, cast

import trio

from p2pverify.core.events import OWN, REFEREE, Compute, Computed, ComputeFailed, Score, Scored
from p2pverify.node.ports import Engine, Generated

JOBS_MAX = 1024
_REASON_CHARS_MAX = 200
NO_REFEREE = "this node has no referee: it cannot judge across classes"
log = logging.getLogger(__name__)

_T = TypeVar("_T")
Outcome = Computed | Scored | ComputeFailed


@dataclass(slots=True, eq=False)
class _Call:
    """What the node itself asks of its engine, beside the machine's jobs."""

    do: Callable[[Engine], object]
    priority: int
    role: str = OWN
    is_given_up: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    result: object = None
    error: Exception | None = None


Job = Compute | Score | _Call


@dataclass(order=True, slots=True)
class _Entry:
    priority: int
    arrival: int
    job: Job = field(compare=False)
    arrived_s: float = field(compare=False)


class EngineBusy(Exception):
    """Too many jobs wait for the engine."""


class RefereeUnavailable(Exception):
    """There is no referee here; what to do stands in the message."""


class Worker:
    """A bounded priority queue before a peer's own engine and its referee.

    `open_referee` blocks and is called in the thread, once. Who calls it off keeps what it returned: the worker closes
    neither engine.
    """

    def __init__(self, engine: Engine, open_referee: Callable[[], Engine] | None = None) -> None:
        self._engine = engine
        self._open_referee = open_referee
        self._referee: Engine | None = None
        self._why_no_referee = NO_REFEREE
        self._heap: list[_Entry] = []
        self._arrivals = 0
        self._woken = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self._done = 0
        self._failed = 0
        self._late = 0
        self._dropped = 0
        self._busy_ms = 0

    @property
    def is_busy(self) -> bool:
        """Whether a thread is inside the engine, perhaps one that a cancelled `run` left behind."""
        return self._limiter.borrowed_tokens > 0

    def submit_nowait(self, job: Job) -> bool:
        """Queue a job; False if too many wait."""
        if len(self._heap) >= JOBS_MAX:
            self._dropped += 1
            return False
        self._arrivals += 1
        heappush(self._heap, _Entry(job.priority, self._arrivals, job, trio.current_time()))
        self._woken.set()
        return True

    async def call(self, do: Callable[[Engine], _T], *, priority: int, role: str = OWN) -> _T:
        """Have something done with an engine, in its turn. Raises EngineBusy, RefereeUnavailable, and what `do` raises.

        Who is cancelled before its turn has nothing done.
        """
        asked = _Call(do, priority, role)
        if not self.submit_nowait(asked):
            raise EngineBusy
        try:
            await asked.done.wait()
        finally:
            asked.is_given_up = True
        if asked.error is not None:
            raise asked.error
        return cast("_T", asked.result)

    async def run(self, feed: Callable[[Outcome], None]) -> None:
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
            if isinstance(entry.job, _Call):
                entry.job.done.set()
            elif event is not None:
                feed(event)

    def statistics(self) -> dict[str, int]:
        """Figures of the jobs until now. Late is what was done after its deadline, dropped what was never begun."""
        oldest = min((entry.arrived_s for entry in self._heap), default=None)
        return {
            "jobs waiting": len(self._heap),
            "oldest waiting ms": 0 if oldest is None else _ms(trio.current_time() - oldest),
            "jobs done": self._done,
            "jobs failed": self._failed,
            "jobs late": self._late,
            "jobs dropped": self._dropped,
            "engine busy ms": self._busy_ms,
        }

    def _do(self, job: Job, queue_ms: int) -> Outcome | None:
        """One job, in the thread. Whatever an engine raises is the job's failure, not the node's."""
        if isinstance(job, _Call):
            if job.is_given_up:
                return None
            try:
                job.result = job.do(self._engine_of(job.role))
            except Exception as error:  # noqa: BLE001  # it is raised again for who called
                job.error = error
            return None
        try:
            return self._score(job) if isinstance(job, Score) else self._compute(job, queue_ms)
        except RefereeUnavailable as error:
            return ComputeFailed(job.job, str(error)[:_REASON_CHARS_MAX])
        except Exception as error:
            log.warning("the engine failed: %s", error, exc_info=not isinstance(error, ValueError))
            return ComputeFailed(job.job, f"{type(error).__name__}: {error}"[:_REASON_CHARS_MAX])

    def _compute(self, job: Compute, queue_ms: int) -> Computed:
        engine = self._engine_of(job.role)
        prompt = job.prompt
        if job.prompt_seed is not None:
            prompt = engine.write_prompt(job.prompt_seed, job.prompt_tokens)
        made = Generated((), "length", 0, 0)
        if job.tokens_max > 0:
            made = engine.answer(
                prompt,
                tokens_max=job.tokens_max,
                temperature_milli=job.temperature_milli,
                sampler_key=job.sampler_key,
            )
        times = (queue_ms, made.first_token_ms, made.total_ms)
        return Computed(job.job, tuple(prompt), made.tokens, made.finish, *times, made.logits_sha256)

    def _score(self, job: Score) -> Scored:
        referee = self._get_referee()
        if any(not 0 <= token < referee.info.vocab_tokens for token in job.tokens):
            return Scored(job.job, (), ())  # a stranger claims it, and all referees say the same of it
        scored = referee.score(
            job.prompt, job.tokens, temperature_milli=job.temperature_milli, sampler_key=job.sampler_key
        )
        return Scored(job.job, scored.deficits, scored.ends)

    def _engine_of(self, role: str) -> Engine:
        return self._get_referee() if role == REFEREE else self._engine

    def _get_referee(self) -> Engine:
        """Open the referee at its first job; what failed once is said once, and not tried again."""
        if self._referee is None and self._open_referee is not None:
            opener, self._open_referee = self._open_referee, None
            try:
                self._referee = opener()
            except Exception as error:
                self._why_no_referee = f"{NO_REFEREE}: {error}"
                said = "%s; start the node again once this is mended"
                log.warning(said, self._why_no_referee, exc_info=log.isEnabledFor(logging.DEBUG))
        if self._referee is None:
            raise RefereeUnavailable(self._why_no_referee)
        return self._referee


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
