"""The node's log messages when cuts stop becoming final, and when they start again."""

import logging

import pytest

from p2pverify.node.reports.readiness import JobPace, Node, unready
from p2pverify.node.reports.watch import CutWatch
from tests.node.fakes import FakeJournal


@pytest.fixture
def said(caplog):
    """The texts that the watch has logged."""
    caplog.set_level(logging.INFO, logger="p2pverify.node.reports.watch")
    return lambda: [record.getMessage() for record in caplog.records]


async def test_a_stop_and_its_end_are_each_said_once(stage, said):
    """There is no message while cuts come, one warning with figures after three epochs without one, and one message
    when they come again."""
    params = stage.world.network.params
    watch = CutWatch(Node(stage.driver, stage.network, FakeJournal()))
    before = stage.world.peers[0].machine.fold.latest.epoch
    for _ in range(16):
        stage.now += params.epoch_ms // 4
        watch.look()
    (warning,) = said()
    assert "no cut has become final for" in warning
    assert f"the newest is of epoch {before}" in warning
    assert "3 of 4" in warning
    assert "connected to 2, itself included" in warning
    stage.world.run_epochs(4)
    stage.now = stage.world.now_ms
    for _ in range(3):
        watch.look()
    after = stage.world.peers[0].machine.fold.latest.epoch
    assert said()[1:] == [f"cuts are final again: that of epoch {after}, after that of epoch {before}"]


async def test_a_node_that_starts_late_has_time_to_catch_up(stage, said):
    """An old newest cut at the start gives no warning until three epochs of the node's own time have brought none."""
    params = stage.world.network.params
    stage.now += 100 * params.epoch_ms
    watch = CutWatch(Node(stage.driver, stage.network, FakeJournal()))
    for _ in range(12):
        watch.look()
        stage.now += params.epoch_ms // 4
    assert said() == []
    stage.now += 1
    watch.look()
    assert len(said()) == 1


def figures(*, done=0, late=0, dropped=0, waiting=0, oldest_ms=0):
    return {
        "jobs done": done,
        "jobs late": late,
        "jobs dropped": dropped,
        "jobs waiting": waiting,
        "oldest waiting ms": oldest_ms,
    }


def test_the_pace_is_that_of_the_newest_epochs():
    """Late and dropped jobs are compared with jobs in time, over three epochs."""
    pace = JobPace()
    pace.look(5, figures(done=100, late=40, dropped=10))
    assert (pace.in_time, pace.late) == (0, 0)
    pace.look(5, figures(done=110, late=44, dropped=11))
    assert (pace.in_time, pace.late) == (6, 5)
    pace.look(7, figures(done=120, late=44, dropped=11))
    assert (pace.in_time, pace.late) == (16, 5)
    pace.look(8, figures(done=130, late=44, dropped=11))
    assert (pace.in_time, pace.late) == (10, 0)


async def test_an_engine_that_is_behind_is_a_reason(stage, monkeypatch):
    """The reason needs half of the jobs late, or a job that waits longer than an epoch."""
    node = Node(stage.driver, stage.network, FakeJournal())
    watch = CutWatch(node)
    now = [figures()]
    monkeypatch.setattr(stage.driver, "engine_statistics", lambda: now[0])
    watch.look()
    epoch_ms = stage.world.network.params.epoch_ms
    for found, reasons in [
        (figures(done=10, late=2, dropped=2), []),
        (figures(done=10, late=3, dropped=8), ["the engine is behind: 11 of 18 jobs were late in the last 3 epochs"]),
        (figures(waiting=28, oldest_ms=epoch_ms), []),
        (
            figures(waiting=28, oldest_ms=epoch_ms + 1),
            [f"the engine is behind: 28 jobs wait, the oldest for {epoch_ms // 1000} s"],
        ),
    ]:
        now[0] = found
        watch.look()
        assert unready(node) == reasons
