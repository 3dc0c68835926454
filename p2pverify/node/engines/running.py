"""The jobs that an engine does at the moment, and how they share its time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from p2pverify.core.events import OWN, REFEREE
from p2pverify.core.inference.jobs import Purpose, QueuedJob, lanes_of

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class RunningJob(Generic[_T]):
    """A job that was begun. `spent_ms` is its share of the time since then: jobs at the same time share equally."""

    entry: QueuedJob[_T]
    role: str
    began_ms: float
    spent_ms: float = field(default=0.0)


class RunningJobs(Generic[_T]):
    """The running jobs of an engine with `lanes`, and of the referee, which does one job at a time.

    `now_ms` is a monotonic clock. An engine with one lane shares its thread with the referee.
    """

    def __init__(self, lanes: int, now_ms: Callable[[], float]) -> None:
        self._lanes = lanes
        self._now_ms = now_ms
        self._jobs: list[RunningJob[_T]] = []
        self._shared_ms = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    def is_free(self, purpose: Purpose, role: str) -> bool:
        """Whether a job of this purpose may begin with this engine."""
        if self._lanes == 1:
            return not self._jobs
        if role == REFEREE:
            return all(job.role != REFEREE for job in self._jobs)
        rooms = [lanes_of(job.entry.purpose, self._lanes) for job in self._jobs if job.role == OWN]
        room = lanes_of(purpose, self._lanes)
        return len(rooms) < self._lanes and (room == self._lanes or rooms.count(room) < room)

    def begin(self, entry: QueuedJob[_T], role: str) -> RunningJob[_T]:
        self._share_out()
        job = RunningJob(entry, role, self._now_ms())
        self._jobs.append(job)
        return job

    def end(self, job: RunningJob[_T]) -> float:
        """Note that a job has ended. Returns the share of the engine's time that it had while it ran, at most 1."""
        self._share_out()
        self._jobs.remove(job)
        took_ms = self._shared_ms - job.began_ms
        return min(1.0, job.spent_ms / took_ms) if took_ms > 0 else 1.0

    def _share_out(self) -> None:
        now_ms = self._now_ms()
        for job in self._jobs:
            job.spent_ms += (now_ms - self._shared_ms) / len(self._jobs)
        self._shared_ms = now_ms
