"""The pace of a run: the signs that peers are behind, and a new network with longer epochs."""

from dataclasses import replace

import pytest
import trio

from p2pverify.cli.main import main
from p2pverify.node.files.home import Home
from p2pverify.testnet.capacity.load import MeasuredMachine
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes import play
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.watch import RunWatch
from p2pverify.testnet.scenario import load_scenario
from tests.support.documents import JOBS
from tests.testnet.support import EPOCH_MS, cut, processes_of, status, toy_plan

RUN_S = 90


def fast_plan(*cheats):
    """A plan whose epochs can be made longer."""
    return replace(toy_plan(*cheats), is_epoch_given=False)


def why_behind(tmp_path, *, epoch=5, has_cut=True, **jobs):
    """The reason why four peers with equal documents are behind."""
    plan = fast_plan("prune")
    watch = RunWatch(plan, lambda name: Home(tmp_path / name))
    shown = status(*[cut(3)] * has_cut)
    shown = replace(shown, epoch=epoch, jobs=replace(JOBS, **jobs))
    watch.statuses = {peer.name: shown for peer in plan.peers}
    return play._why_behind(watch)


def test_late_jobs_show_that_peers_fall_behind(tmp_path):
    """Peers are behind if a quarter of enough jobs per peer is dropped or late. Failed jobs are no sign."""
    assert why_behind(tmp_path, jobs_done=30, jobs_dropped=8, jobs_late=2) == (
        "40 of 152 jobs were late in epochs of 0.6 s"
    )
    assert not why_behind(tmp_path, jobs_done=30, jobs_dropped=8)
    assert not why_behind(tmp_path, jobs_done=2, jobs_dropped=2)  # too early to tell
    assert not why_behind(tmp_path, jobs_done=100)


def test_cuts_that_do_not_come_show_it_too(tmp_path):
    """Peers that certify no cut in several epochs do not begin to by themselves, because the machine stays as slow."""
    assert why_behind(tmp_path, epoch=8, has_cut=False) == "no cut was certified in epochs of 0.6 s"
    assert not why_behind(tmp_path, epoch=7, has_cut=False)
    assert why_behind(tmp_path, epoch=11) == "no cut was certified after epoch 3 in epochs of 0.6 s"
    assert not why_behind(tmp_path, epoch=10)


def test_a_network_that_should_stop_is_not_behind(tmp_path):
    """Without cuts since the lies it has stopped. The network after it has to have cuts again."""
    watch = RunWatch(replace(make_plan(load_scenario("takeover")), is_epoch_given=False), lambda n: Home(tmp_path / n))
    watch.statuses = {peer.name: replace(status(cut(3)), epoch=30) for peer in watch.plan.peers}
    assert play._why_behind(watch)
    watch.takeover.lies_from = 3
    assert not play._why_behind(watch)
    watch.takeover.fork = "ab"
    watch.follow("ab", 30)
    assert not watch.statuses
    watch.statuses = {peer.name: replace(status(), epoch=37) for peer in watch.plan.peers}
    assert not play._why_behind(watch)
    watch.statuses = {peer.name: replace(status(), epoch=38) for peer in watch.plan.peers}
    assert play._why_behind(watch) == "no cut was certified in epochs of 1 s"


def run(plan, directory, running):
    """Play a plan. Returns the report and the told sentences."""
    stage = Stage()

    async def main():
        with trio.fail_after(RUN_S):
            return await play.run(plan, directory, stage=stage, remove=False, running=running)

    return trio.run(main), stage.told


def test_peers_that_fall_behind_start_again(tmp_path, monkeypatch):
    """They start a new network with epochs twice as long. Both lengths are told, and nothing of the first network is
    left."""
    behind = iter(["5 of 9 jobs were late"])
    monkeypatch.setattr(play, "measure", lambda *_, **__: MeasuredMachine(64.0))
    monkeypatch.setattr(play, "_why_behind", lambda _: next(behind, ""))
    running = []
    directory = tmp_path / "run"
    directory.mkdir()
    report, told = run(fast_plan("silent"), directory, running)
    assert told == ["5 of 9 jobs were late; starting again with epochs of 1.2 s"]
    assert report.passes
    assert report.plan.epoch_ms == 2 * EPOCH_MS
    assert report.network == running[0].network.id.hex()
    assert len(running) == 1
    assert (directory / "report.json").exists()
    assert processes_of(directory) == []


def fitted(plan):
    """The fitted plan, the told sentences, and the remaining time of the run."""

    async def main():
        stage = Stage()
        attempt = play._Attempt(plan, stage, can_restart=True)
        before = attempt._scope.deadline
        found, _ = await attempt._fitted(plan)
        assert attempt._can_restart != plan.is_epoch_given
        return found, stage.told, attempt._scope.deadline - before

    return trio.run(main)


def test_an_epoch_that_was_given_stays(monkeypatch):
    """The length from --epoch-ms is used on every machine."""
    monkeypatch.setattr(play, "measure", lambda *_, **__: MeasuredMachine(0.1, slowness=50.0))
    assert fitted(toy_plan()) == (toy_plan(), [], 0)


def test_a_slow_machine_gets_longer_epochs(monkeypatch):
    """The run also gets more time, unless the time was given."""
    monkeypatch.setattr(play, "measure", lambda *_, **__: MeasuredMachine(1.0, slowness=5.0))
    plan = fast_plan("prune")
    found, told, longer = fitted(plan)
    assert found.epoch_ms > plan.epoch_ms
    assert told == [
        f"epochs of {found.epoch_ms / 1000:g} s instead of 0.6 s, as this machine has 0.9 cores for 4 peers"
    ]
    assert longer == pytest.approx(found.timeout_s - plan.timeout_s)
    assert fitted(replace(plan, is_timeout_given=True))[2] == 0


def test_what_this_machine_cannot_hold_is_refused(tmp_path, monkeypatch, capsys):
    """Before a process is started, with two lines of figures and exit code 2."""
    monkeypatch.setattr(play, "available_mb", lambda: 600.0)
    for arguments, said in (
        (["toy", "--peers", "40"], "40 peers need about 2.6 GB of memory, and this machine has 0.6 GB to spare"),
        (["toy", "--peers", "40", "--epoch-ms", "60000"], "0.6 GB to spare"),
    ):
        with pytest.raises(SystemExit) as caught:
            main.main(args=["testnet", *arguments, "--keep", str(tmp_path / "kept")])
        assert caught.value.code == 2
        _, err = capsys.readouterr()
        assert said in err
        assert "hint: try --peers " in err
    assert processes_of(tmp_path) == []
