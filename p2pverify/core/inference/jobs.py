"""The queue of an engine: which job comes next, and which jobs are too late to be begun.

An engine does one job at a time, or several (its lanes).

Three kinds of work are owed: answers to requests, votes, and own audits. While all of them wait, they get a half, a
third and a sixth of the engine's time. The unused share of a kind goes to the others in the same proportion. Requests
get most because an audit makes others answer: a peer that audits more than it answers makes all peers late. Votes and
audits go by earliest deadline. Requests go in the order of arrival, because the requester chooses when its request
expires. SPARE work, which is not owed, goes when nothing else waits.

Why audits are never starved in an engine with one lane: let C be the time of the longest job. While audits wait, one is
begun within 8 C, whatever else arrives. A kind that begins to wait gets no credit for the time before, so audits are
behind the other kinds by at most their own last job. To catch up with that, answers take 3 C and votes 2 C. Each of
them takes C more with the job that brings it ahead, and one job may be running. A job that cannot be done by its
deadline takes no time: it is dropped when its turn comes, and the next job of its kind gets the turn. With several
lanes, `lanes_of` keeps some for votes and audits, so requests never hold all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from heapq import heappop, heappush
from typing import Generic, TypeVar

#: Most waiting jobs of one purpose. Other peers can fill a peer's queues of answers and votes, but not that of audits.
WAITING_MAX = 256

_T = TypeVar("_T")


class Purpose(IntEnum):
    """The purpose of a job."""

    REQUEST = 0
    VOTE = 1
    AUDIT = 2
    SPARE = 3  # work that is not owed: cover, explanations


#: The share of each owed kind, in sixths of the engine's time.
SHARES = {Purpose.REQUEST: 3, Purpose.VOTE: 2, Purpose.AUDIT: 1}
#: Lanes of an engine that only votes and audits may take, if the engine has more.
_KEPT_LANES = 2


def lanes_of(purpose: Purpose, lanes: int) -> int:
    """How many of an engine's lanes jobs of this purpose may fill."""
    return lanes if purpose in (Purpose.VOTE, Purpose.AUDIT) else max(1, lanes - _KEPT_LANES)


@dataclass(frozen=True, slots=True, eq=False)
class QueuedJob(Generic[_T]):
    """A job in the queue. Times are ms of the caller's clock; a job without a deadline is never too late."""

    job: _T
    purpose: Purpose
    since_ms: int
    deadline_ms: int | None


class Queue(Generic[_T]):
    """Jobs that wait for one engine.

    `estimate` returns how many ms a job will take. `doubt` is called if, by this estimate, a job could never have been
    done in time.
    """

    def __init__(self, estimate: Callable[[_T], int], doubt: Callable[[_T], None] = lambda _: None) -> None:
        self._estimate = estimate
        self._doubt = doubt
        self._waiting: dict[Purpose, list[tuple[int, int, QueuedJob[_T]]]] = {purpose: [] for purpose in Purpose}
        self._used = dict.fromkeys(SHARES, 0)  # ms of the engine's time, divided by the share
        self._level = 0  # the use of the kind that had the last turn, before that turn
        self._arrivals = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, job: _T, purpose: Purpose, deadline_ms: int | None, now_ms: int) -> bool:
        """Queue a job; False if too many of its purpose wait."""
        waiting = self._waiting[purpose]
        if len(waiting) >= WAITING_MAX:
            return False
        if not waiting and purpose in SHARES:
            self._used[purpose] = max(self._used[purpose], self._level)
        self._arrivals += 1
        rank = self._arrivals if deadline_ms is None or purpose is Purpose.REQUEST else deadline_ms
        heappush(waiting, (rank, self._arrivals, QueuedJob(job, purpose, now_ms, deadline_ms)))
        return True

    def pop(
        self, now_ms: int, is_free: Callable[[Purpose, _T], bool] = lambda _purpose, _job: True
    ) -> tuple[QueuedJob[_T] | None, list[QueuedJob[_T]]]:
        """The job to begin now, if there is one, and the jobs dropped because they would end too late.

        `is_free` says whether the engine has a free lane for a job. Call `charge` with its time when the job is done.
        """
        dropped: list[QueuedJob[_T]] = []
        while (purpose := self._next_purpose(is_free)) is not None:
            entry = heappop(self._waiting[purpose])[2]
            if not self._is_in_time(entry, now_ms):
                dropped.append(entry)
                continue
            self._level = self._used.get(purpose, self._level)
            return entry, dropped
        return None, dropped

    def charge(self, entry: QueuedJob[_T], took_ms: int) -> None:
        """Note the engine's time that a job took, in ms. Jobs that run at the same time share it."""
        if entry.purpose in SHARES:
            self._used[entry.purpose] += took_ms * sum(SHARES.values()) // SHARES[entry.purpose]

    def clear(self) -> None:
        """Forget all waiting jobs."""
        for waiting in self._waiting.values():
            waiting.clear()

    def oldest_ms(self, now_ms: int) -> int:
        """The longest time in ms that a job has waited; 0 if none waits."""
        return max((now_ms - entry.since_ms for each in self._waiting.values() for _, _, entry in each), default=0)

    def _is_in_time(self, entry: QueuedJob[_T], now_ms: int) -> bool:
        if entry.deadline_ms is None:
            return True
        cost_ms = self._estimate(entry.job)
        if 0 < entry.deadline_ms - entry.since_ms < cost_ms:
            self._doubt(entry.job)
        return now_ms + cost_ms <= entry.deadline_ms

    def _next_purpose(self, is_free: Callable[[Purpose, _T], bool]) -> Purpose | None:
        owed = [purpose for purpose in SHARES if self._waiting[purpose]]
        able = [
            each for each in owed or (Purpose.SPARE,) if (jobs := self._waiting[each]) and is_free(each, jobs[0][2].job)
        ]
        return min(able, key=lambda purpose: (self._used.get(purpose, 0), purpose), default=None)
