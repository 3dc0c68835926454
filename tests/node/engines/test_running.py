"""Which jobs run at the same time, and how they share the engine's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.events import OWN, REFEREE
from p2pverify.core.inference.jobs import Purpose, QueuedJob
from p2pverify.node.engines.running import RunningJob, RunningJobs


class Clock:
    ms = 0.0

    def __call__(self) -> float:
        return self.ms


def entry(purpose: Purpose) -> QueuedJob[str]:
    return QueuedJob("job", purpose, 0, None)


@given(st.integers(1, 12), st.lists(st.tuples(st.sampled_from(Purpose), st.sampled_from((OWN, REFEREE))), max_size=40))
def test_requests_never_hold_the_lanes_of_votes_and_audits(lanes: int, wanted: list[tuple[Purpose, str]]) -> None:
    """Whatever was begun: a vote or an audit finds a lane until `lanes` are taken, with three lanes or more."""
    running: RunningJobs[str] = RunningJobs(lanes, Clock())
    begun: list[RunningJob[str]] = []
    for purpose, role in wanted:
        if running.is_free(purpose, role):
            begun.append(running.begin(entry(purpose), role))
    own = [job.entry.purpose for job in begun if job.role == OWN]
    assert len(own) <= lanes
    assert len(begun) - len(own) <= 1
    if lanes == 1:
        assert len(begun) <= 1
    elif lanes >= 3:
        assert sum(purpose in (Purpose.REQUEST, Purpose.SPARE) for purpose in own) <= lanes - 2
        if not any(purpose in (Purpose.VOTE, Purpose.AUDIT) for purpose in own):
            assert running.is_free(Purpose.AUDIT, OWN)
    for job in begun:
        running.end(job)
    assert all(running.is_free(purpose, role) for purpose in Purpose for role in (OWN, REFEREE))


def test_jobs_at_the_same_time_share_it_equally() -> None:
    clock = Clock()
    running: RunningJobs[str] = RunningJobs(4, clock)
    first = running.begin(entry(Purpose.AUDIT), OWN)
    clock.ms = 100
    second = running.begin(entry(Purpose.REQUEST), OWN)
    clock.ms = 300
    assert running.end(first) == pytest.approx(2 / 3)
    clock.ms = 350
    assert running.end(second) == pytest.approx(0.6)
    assert (first.spent_ms, second.spent_ms) == (pytest.approx(200), pytest.approx(150))
    clock.ms = 500
    third = running.begin(entry(Purpose.VOTE), REFEREE)
    clock.ms = 510
    assert running.end(third) == pytest.approx(1)
    assert third.spent_ms == pytest.approx(10)
