"""The engine's queue: the order of jobs, the dropped jobs, and that no kind of work is starved."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.inference.jobs import SHARES, WAITING_MAX, Purpose, Queue, QueuedJob

LONGEST_MS = 40


@dataclass(frozen=True)
class Job:
    """A job of a test: its delay after the job before it, its duration, and its time until the deadline."""

    number: int
    purpose: Purpose
    gap_ms: int
    cost_ms: int
    slack_ms: int


@st.composite
def arrivals(draw: st.DrawFn, *, slack_ms_max: int = 400) -> list[Job]:
    """Two hundred jobs in order of arrival: any mixture of kinds, from an idle engine to one that can do a tenth of the
    work."""
    dice = Random(draw(st.integers(0, 2**32)))
    weights = draw(st.lists(st.integers(0, 9), min_size=len(Purpose), max_size=len(Purpose)).filter(any))
    gap_ms_max = draw(st.sampled_from((0, 4, 20, 40, 200)))
    cost_ms_min = draw(st.sampled_from((1, LONGEST_MS)))
    purposes = dice.choices(list(Purpose), weights, k=200)
    return [
        Job(
            number,
            purpose,
            dice.randint(0, gap_ms_max),
            dice.randint(cost_ms_min, LONGEST_MS),
            dice.randint(-5, slack_ms_max),
        )
        for number, purpose in enumerate(purposes)
    ]


class Engine:
    """Plays a queue in virtual time and notes the outcome of each job."""

    def __init__(self) -> None:
        self.queue: Queue[Job] = Queue(lambda job: job.cost_ms)
        self.now_ms = 0
        self.begun: list[tuple[int, Job]] = []
        self.dropped: list[tuple[int, Job]] = []
        self.refused: list[Job] = []
        self.waiting: Counter[Purpose] = Counter()
        self._running: QueuedJob[Job] | None = None
        self._free_ms = 0

    def play(self, jobs: list[Job]) -> None:
        arrives_ms = 0
        for job in jobs:
            arrives_ms += job.gap_ms
            self._run_until(arrives_ms)
            deadline_ms = None if job.purpose is Purpose.SPARE else self.now_ms + job.slack_ms
            if self.queue.push(job, job.purpose, deadline_ms, self.now_ms):
                self.waiting[job.purpose] += 1
            else:
                self.refused.append(job)
            self._begin()
        self._run_until(arrives_ms + 10**9)

    def _run_until(self, at_ms: int) -> None:
        while self._running is not None and self._free_ms <= at_ms:
            self.now_ms = self._free_ms
            self.queue.charge(self._running, self._running.job.cost_ms)
            self._running = None
            self._begin()
        self.now_ms = at_ms

    def _begin(self) -> None:
        if self._running is not None:
            return
        self._running, dropped = self.queue.pop(self.now_ms)
        for entry in dropped:
            self.waiting[entry.purpose] -= 1
            self.dropped.append((self.now_ms, entry.job))
            assert entry.deadline_ms is not None
            assert self.now_ms + entry.job.cost_ms > entry.deadline_ms
        if self._running is None:
            assert len(self.queue) == 0
            return
        job, deadline_ms = self._running.job, self._running.deadline_ms
        self.waiting[job.purpose] -= 1
        self.begun.append((self.now_ms, job))
        self._free_ms = self.now_ms + job.cost_ms
        assert deadline_ms is None or self._free_ms <= deadline_ms
        self.look(job)

    def look(self, job: Job) -> None:
        """Called with each job that begins."""


@given(arrivals())
def test_every_job_has_one_outcome_and_none_begins_late(jobs: list[Job]) -> None:
    """A job that begins ends by its deadline, only a job that could not is dropped (`Engine` asserts both), and no job
    is lost."""
    engine = Engine()
    engine.play(jobs)
    outcomes = [job.number for _, job in engine.begun + engine.dropped] + [job.number for job in engine.refused]
    assert sorted(outcomes) == [job.number for job in jobs]


class Fair(Engine):
    """Notes how long each kind of work waited while other jobs were begun."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[Purpose, int] = {}

    def look(self, job: Job) -> None:
        self._since.pop(job.purpose, None)
        for purpose, share in SHARES.items():
            if not self.waiting[purpose]:
                self._since.pop(purpose, None)
                continue
            since_ms = self._since.setdefault(purpose, self.now_ms)
            others = sum(each / share + 1 for kind, each in SHARES.items() if kind is not purpose)
            assert self.now_ms - since_ms <= (others + 1) * LONGEST_MS


@given(arrivals(slack_ms_max=10**6))
def test_no_kind_of_work_waits_longer_than_its_share_says(jobs: list[Job]) -> None:
    """Audits wait for at most eight of the longest jobs, other kinds for less."""
    Fair().play(jobs)


@pytest.mark.parametrize("flood", [Purpose.REQUEST, Purpose.VOTE])
def test_a_flood_of_one_kind_leaves_the_others_their_shares(flood: Purpose) -> None:
    """If there is more work of each kind than the engine can do, the shares divide the time."""
    queue: Queue[int] = Queue(lambda _: 10)
    used: Counter[Purpose] = Counter()
    for turn in range(600):
        for purpose in (*SHARES, flood, flood):
            queue.push(turn, purpose, 10**9, turn)
        entry, _ = queue.pop(turn)
        assert entry is not None
        queue.charge(entry, 10)
        used[entry.purpose] += 1
    assert used == {purpose: 100 * share for purpose, share in SHARES.items()}


def test_what_one_kind_does_not_need_the_others_have() -> None:
    queue: Queue[int] = Queue(lambda _: 10)
    used: Counter[Purpose] = Counter()
    for turn in range(400):
        queue.push(turn, Purpose.REQUEST, 10**9, turn)
        queue.push(turn, Purpose.AUDIT, 10**9, turn)
        entry, _ = queue.pop(turn)
        assert entry is not None
        queue.charge(entry, 10)
        used[entry.purpose] += 1
    assert used == {Purpose.REQUEST: 300, Purpose.AUDIT: 100}


def test_nobody_saves_up_time_while_it_has_no_work() -> None:
    """After a long time with votes only, requests and votes take turns by their shares at once."""
    queue: Queue[str] = Queue(lambda _: 10)
    for turn in range(100):
        queue.push("vote", Purpose.VOTE, 10**9, turn)
        entry, _ = queue.pop(turn)
        assert entry is not None
        queue.charge(entry, 10)
    for turn in range(20):
        queue.push("vote", Purpose.VOTE, 10**9, turn)
        queue.push("request", Purpose.REQUEST, 10**9, turn)
    begun = []
    for _ in range(10):
        entry, _ = queue.pop(0)
        assert entry is not None
        queue.charge(entry, 10)
        begun.append(entry.job)
    assert begun.count("vote") in {3, 4}


def test_votes_and_audits_go_by_deadline_and_requests_by_arrival() -> None:
    """A requester chooses the expiry of its request, so the expiry must give no advantage."""
    for purpose, order in ((Purpose.VOTE, [2, 1, 3]), (Purpose.AUDIT, [2, 1, 3]), (Purpose.REQUEST, [1, 2, 3])):
        queue: Queue[int] = Queue(lambda _: 1)
        for number, deadline_ms in ((1, 200), (2, 100), (3, 200)):
            queue.push(number, purpose, deadline_ms, 0)
        found = [entry.job for entry, _ in (queue.pop(0) for _ in range(3)) if entry is not None]
        assert found == order


def test_what_nobody_is_owed_waits_for_all_that_is() -> None:
    queue: Queue[str] = Queue(lambda _: 1)
    queue.push("spare", Purpose.SPARE, None, 0)
    queue.push("audit", Purpose.AUDIT, 100, 0)
    assert [entry.job for entry, _ in (queue.pop(0), queue.pop(0)) if entry is not None] == ["audit", "spare"]
    assert queue.pop(0) == (None, [])


def test_each_kind_has_room_of_its_own() -> None:
    """Audits have room, however many requests other peers send."""
    queue: Queue[int] = Queue(lambda _: 1)
    taken = sum(queue.push(number, Purpose.VOTE, 100, 0) for number in range(2 * WAITING_MAX))
    assert taken == WAITING_MAX
    assert queue.push(0, Purpose.AUDIT, 100, 0)
    assert len(queue) == WAITING_MAX + 1
    assert queue.oldest_ms(7) == 7


def test_an_estimate_by_which_nothing_could_be_done_is_doubted() -> None:
    """It is halved until a job begins, because no job could show otherwise that it is wrong. A long wait is no reason
    to halve it."""
    estimate = [1000]

    def halve(_job: int) -> None:
        estimate[0] //= 2

    queue: Queue[int] = Queue(lambda _: estimate[0], halve)
    for number in range(6):
        queue.push(number, Purpose.AUDIT, 100, 0)
    entry, dropped = queue.pop(0)
    assert entry is not None
    assert entry.job == len(dropped) == 4
    assert estimate == [62]
    entry, dropped = queue.pop(90)
    assert entry is None
    assert len(dropped) == 1
    assert estimate == [62]
