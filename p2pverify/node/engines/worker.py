"""The engine worker: runs jobs in threads, in the order of `core.inference.jobs`, as many at a time as the engine can.

Jobs come from the machine's `Compute` and `MeasureJob` effects. They end as `Computed`, `MeasureDone` or
`ComputeFailed`. The worker drops a job that would end too late; it estimates this from the time that such jobs took
before. An engine that does one job at a time shares the thread with the referee. The referee is opened with its first
job.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import TypeVar, cast

import trio

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.costs import Costs
from p2pverify.core.counters import Counters
from p2pverify.core.events import OWN, REFEREE, Compute, Computed, ComputeFailed, MeasureDone, MeasureJob
from p2pverify.core.inference.jobs import Purpose, Queue, QueuedJob
from p2pverify.node.clock import unix_ms
from p2pverify.node.engines.referee import Referee
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable, RefereeUnavailable
from p2pverify.node.engines.running import RunningJob, RunningJobs
from p2pverify.node.engines.shelf import OpenVersion, Shelf
from p2pverify.node.engines.token_relay import TokenRelay
from p2pverify.node.ports import Engine, Generated, Hear, unheard

TOO_LATE = "it would have been done too late"
TOO_MANY = "too many jobs wait for the engine"
SAY_EVERY_S = 60
#: The purposes whose jobs have deadlines and can be dropped.
NAMES = {Purpose.REQUEST: "requests", Purpose.VOTE: "votes", Purpose.AUDIT: "audits"}
_COUNTED = (
    *("jobs done", "jobs failed", "jobs late", "jobs dropped"),
    *(f"dropped {name}" for name in NAMES.values()),
    "engine busy ms",
)
_REASON_CHARS_MAX = 200
log = logging.getLogger(__name__)

_T = TypeVar("_T")
Outcome = Computed | MeasureDone | ComputeFailed
Tell = Callable[[int, Sequence[int]], None]
"""Takes the number of a job, and the next tokens of its answer."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call of the node to its engine, apart from the machine's jobs."""

    do: Callable[[Engine], object]
    model: bytes
    role: str = OWN
    is_given_up: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    result: object = None
    error: Exception | None = None


Job = Compute | MeasureJob | _Call


class Worker:
    """A bounded queue before a peer's own engine and its referee.

    `model` is the digest of the manifest of the model that the engine runs. `open_referee` and `open_version` block,
    and are called in threads. The worker closes only engines of other versions: the others are closed by the code that
    made them. `clock` is the clock of the jobs' deadlines, in Unix milliseconds.
    """

    def __init__(
        self,
        engine: Engine,
        open_referee: Callable[[], Engine] | None = None,
        *,
        model: bytes = bytes(32),
        open_version: OpenVersion | None = None,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        self._model = model
        self._clock = clock
        self._shelf = Shelf(engine, model, Referee(open_referee), open_version)
        self._running: RunningJobs[Job] = RunningJobs(engine.info.lanes, _monotonic_ms)
        self._costs = Costs()
        self._queue: Queue[Job] = Queue(self._estimate, self._doubt)
        self._woken = trio.Event()
        self._limiter = trio.CapacityLimiter(engine.info.lanes + 1)  # the referee's thread besides
        self._counters = Counters(_COUNTED)
        self._drops = _Drops(self._counters)

    @property
    def is_busy(self) -> bool:
        """Whether a thread is inside the engine, perhaps left behind by a cancelled `run`."""
        return self._limiter.borrowed_tokens > 0

    def submit_nowait(self, job: Compute | MeasureJob) -> ComputeFailed | None:
        """Queue a job. Returns its failure if too many jobs of its purpose wait, else None."""
        now_ms = _now_ms()
        left_ms = job.deadline_ms - self._clock()  # from here on the monotonic clock counts, because nobody can set it
        if self._queue.push(job, job.purpose, now_ms + left_ms, now_ms):
            self._woken.set()
            return None
        self._drops.note([job.purpose])
        return ComputeFailed(job.job, TOO_MANY, is_dropped=True)

    def cost_ms(self, ask: Ask) -> int:
        """The estimated time of an answer of the own engine; 0 if nothing is known."""
        return self._costs.estimate(Compute(0, Purpose.REQUEST, 0, ask))

    def close_versions(self) -> None:
        """Close the engines of other versions. No job may run."""
        self._shelf.close()

    async def call(self, do: Callable[[Engine], _T], *, role: str = OWN, model: bytes | None = None) -> _T:
        """Call `do` with an engine, in the thread, when no other job waits. Without `model` it is the first one.

        Raises EngineBusy, RefereeUnavailable, ModelUnavailable, and what `do` raises. A call that is cancelled before
        its turn does nothing.
        """
        asked = _Call(do, self._model if model is None else model, role)
        if not self._queue.push(asked, Purpose.SPARE, None, _now_ms()):
            raise EngineBusy
        self._woken.set()
        try:
            await asked.done.wait()
        finally:
            asked.is_given_up = True
        if asked.error is not None:
            raise asked.error
        return cast("_T", asked.result)

    async def run(self, feed: Callable[[Outcome], None], tell: Tell | None = None) -> None:
        """Do jobs until cancelled. After a cancellation the thread of the last job ends by itself.

        `tell` gets the tokens of answers as they are made, in this task's loop.
        """
        async with trio.open_nursery() as nursery:
            while True:
                entry, dropped = self._queue.pop(_now_ms(), self._is_free)
                self._drop(dropped, feed)
                if entry is not None:
                    nursery.start_soon(self._work, self._running.begin(entry, _role(entry.job)), feed, tell)
                else:
                    self._woken = trio.Event()
                    await self._woken.wait()

    async def _work(self, running: RunningJob[Job], feed: Callable[[Outcome], None], tell: Tell | None) -> None:
        entry = running.entry
        done, worked_ms = await trio.to_thread.run_sync(
            self._timed,
            entry.job,
            round(running.began_ms) - entry.since_ms,
            _hear(entry.job, tell),
            limiter=self._limiter,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
        )
        ended_ms = _now_ms()
        share = self._running.end(running)
        self._woken.set()
        self._learn(entry.job, done, worked_ms, share)
        self._queue.charge(entry, round(running.spent_ms))
        self._counters.count("engine busy ms", round(running.spent_ms))
        self._counters.count("jobs done")
        self._counters.count("jobs failed", isinstance(done, ComputeFailed))
        self._counters.count("jobs late", entry.deadline_ms is not None and ended_ms > entry.deadline_ms)
        if isinstance(entry.job, _Call):
            entry.job.done.set()
        elif done is not None:
            feed(done)

    def _is_free(self, purpose: Purpose, job: Job) -> bool:
        return self._running.is_free(purpose, _role(job))

    def _learn(self, job: Job, done: Outcome | None, worked_ms: float, share: float) -> None:
        """Learn what a job costs alone. It took `worked_ms` in its thread, and had this share of the engine's time."""
        if isinstance(done, Computed) and isinstance(job, Compute):
            times_ms = (worked_ms, done.first_token_ms, done.total_ms)
            self._costs.learn(job, *(round(each * share) for each in times_ms))
        elif isinstance(done, MeasureDone) and isinstance(job, MeasureJob) and done.deficits:
            self._costs.learn(job, round(worked_ms * share))

    def _drop(self, entries: list[QueuedJob[Job]], feed: Callable[[Outcome], None]) -> None:
        self._drops.note([entry.purpose for entry in entries])
        for entry in entries:
            assert not isinstance(entry.job, _Call)  # calls have no deadline
            feed(ComputeFailed(entry.job.job, TOO_LATE, is_dropped=True))

    def _estimate(self, job: Job) -> int:
        """The time that a job will take beside those that run."""
        return 0 if isinstance(job, _Call) else self._costs.estimate(job) * (1 + len(self._running))

    def _doubt(self, job: Job) -> None:
        if not isinstance(job, _Call):
            self._costs.doubt(job)

    def statistics(self) -> dict[str, int]:
        """Counts of jobs so far. A late job ended after its deadline; a dropped job was never begun."""
        return {
            "jobs waiting": len(self._queue),
            "oldest waiting ms": self._queue.oldest_ms(_now_ms()),
            **self._counters,
        }

    def _timed(self, job: Job, queue_ms: int, hear: Hear) -> tuple[Outcome | None, float]:
        """One job, in the thread, and its time there. This loop may be busy, and then it sees the end late."""
        began_ns = monotonic_ns()
        done = self._do(job, queue_ms, hear)
        return done, (monotonic_ns() - began_ns) / 1_000_000

    def _do(self, job: Job, queue_ms: int, hear: Hear) -> Outcome | None:
        """One job, in the thread. An exception of the engine fails the job, not the node."""
        if isinstance(job, _Call):
            if job.is_given_up:
                return None
            try:
                with self._shelf.use(job.role, job.model) as engine:
                    job.result = job.do(engine)
            except Exception as error:  # noqa: BLE001  # raised again for the caller
                job.error = error
            return None
        try:
            return self._score(job) if isinstance(job, MeasureJob) else self._compute(job, queue_ms, hear)
        except (RefereeUnavailable, ModelUnavailable) as error:
            return ComputeFailed(job.job, str(error)[:_REASON_CHARS_MAX])
        except Exception as error:
            log.warning("the engine failed: %s", error, exc_info=not isinstance(error, ValueError))
            return ComputeFailed(job.job, f"{type(error).__name__}: {error}"[:_REASON_CHARS_MAX])

    def _compute(self, job: Compute, queue_ms: int, hear: Hear) -> Computed:
        ask = job.ask
        with self._shelf.use(job.role, job.model) as engine:
            if job.prompt_seed is not None:
                ask = job.asked(tuple(engine.write_prompt(job.prompt_seed, job.prompt_tokens)))
            made = engine.answer(ask, hear) if ask.tokens_max > 0 else Generated(Output((), "length"), 0, 0)
        return Computed(job.job, ask.prompt, made.output, queue_ms, made.first_token_ms, made.total_ms)

    def _score(self, job: MeasureJob) -> MeasureDone:
        with self._shelf.use(REFEREE, job.model) as referee:
            if any(not 0 <= token < referee.info.vocab_tokens for token in job.tokens):
                return MeasureDone(job.job, (), ())  # another peer claims it; every referee says the same of it
            scored = referee.score(job.ask, job.tokens)
        return MeasureDone(job.job, scored.deficits, scored.ends)


class _Drops:
    """Counts dropped jobs, and logs them at most once in `SAY_EVERY_S` seconds."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._unsaid: Counter[Purpose] = Counter()
        self._said_s = -math.inf

    def note(self, purposes: Sequence[Purpose]) -> None:
        """Count dropped jobs, one per purpose in `purposes`."""
        self._counters.count("jobs dropped", len(purposes))
        for purpose in purposes:
            self._counters.count(f"dropped {NAMES[purpose]}")
            self._unsaid[purpose] += 1
        now_s = trio.current_time()
        if not purposes or now_s < self._said_s + SAY_EVERY_S:
            return
        self._said_s = now_s
        what = ", ".join(f"{name}: {self._unsaid[each]}" for each, name in NAMES.items() if self._unsaid[each])
        self._unsaid.clear()
        log.warning(
            "this machine is behind: jobs for the engine were dropped, as they would have ended too late (%s);"
            " give it less to do besides, or take a network with longer epochs",
            what,
        )


def _role(job: Job) -> str:
    """Which engine does a job."""
    return REFEREE if isinstance(job, MeasureJob) else job.role


def _hear(job: Job, tell: Tell | None) -> Hear:
    """Takes the tokens of a job in the engine's thread, and tells them in this loop."""
    if tell is None or not isinstance(job, Compute):
        return unheard
    return TokenRelay(partial(tell, job.job)).hear


def _now_ms() -> int:
    return round(_monotonic_ms())


def _monotonic_ms() -> float:
    """Milliseconds of the monotonic clock, which nobody can set."""
    return trio.current_time() * 1000
