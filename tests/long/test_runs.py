"""Whole runs with real processes and the toy engine: verdicts, and the remains of a run."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import trio

from p2pverify.cli.main import main
from p2pverify.testnet.processes.runner import open_testnet
from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import QUICK, Watched, processes_of, read_until, running_testnet, toy_plan

RUN_S = 90


def play(temporary, *arguments):
    """Run a testnet to its end. Returns exit code, stdout and stderr."""
    with running_testnet(temporary, *arguments) as process:
        out, err = process.communicate(timeout=RUN_S)
        return process.returncode, out, err


def test_a_cheater_is_found(tmp_path):
    """The toy scenario passes: exit code 0, pure JSON on stdout, homes kept in the given folder, and no process
    left."""
    kept = tmp_path / "kept"
    code, out, err = play(tmp_path / "tmp", "toy", *QUICK, "--json", "-", "--keep", str(kept))
    assert code == 0, err
    document = json.loads(out)
    check_report(document)
    assert document["verdict"] == "pass"
    assert len(document["peers"]) == 5
    (liar,) = [peer for peer in document["peers"] if peer["cheat"]]
    assert document["cheaters_convicted"] == [liar["name"]]
    assert liar["convicted_after_audits"] >= 4  # four dissents convict if equal inputs give equal bits
    honest = [peer for peer in document["peers"] if not peer["cheat"]]
    assert len({(peer["cut"], peer["ledger_root"], peer["view_root"]) for peer in honest}) == 1
    assert json.loads((kept / "report.json").read_text()) == document
    assert (kept / liar["name"] / "node.db").exists()
    assert "verdict: pass" in err
    assert processes_of(kept) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nobody_cheats(tmp_path):
    """Without cheaters no peer is convicted, and the run ends after some epochs."""
    code, out, err = play(
        tmp_path, "toy", *QUICK, "--peers", "4", "--cheat", "none", "--json", str(tmp_path / "r.json")
    )
    assert code == 0, err
    assert "no cheaters, and nobody was convicted" in out
    document = json.loads((tmp_path / "r.json").read_text())
    check_report(document)
    assert document["cheaters_convicted"] == document["honest_convicted"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_silence_is_caught_and_not_convicted(tmp_path):
    """A peer that does not answer is unavailable in the end, and the run passes."""
    code, out, err = play(tmp_path, "toy", *QUICK, "--peers", "4", "--cheat", "silent", "--json", "-")
    assert code == 0, err
    document = json.loads(out)
    assert len(document["unavailable"]) == 1
    assert document["cheaters_convicted"] == document["cheaters_missed"] == []


def test_no_verdict_in_time(tmp_path):
    """After the timeout the run fails with exit code 1, names the missing condition, and leaves nothing."""
    code, out, err = play(tmp_path, "toy", "--epoch-ms", "60000", "--peers", "3", "--timeout", "15", "--json", "-")
    assert code == 1
    document = json.loads(out)
    check_report(document)
    assert document["verdict"] == "fail"
    assert len(document["cheaters_missed"]) == 1
    assert "missing: " in err
    assert "hint: " in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path, number, code):
    """Ctrl-C and SIGTERM end all processes and remove the temporary directory, without a traceback."""
    with running_testnet(tmp_path, "toy", *QUICK, "--peers", "3", "--cheat", "none") as process:
        read_until(process, "running")
        watched = Watched(processes_of(tmp_path))
        assert len(watched) == 4  # the spawner and three peers
        # They have their own sessions, so that Ctrl-C on a terminal reaches only the runner.
        assert len({os.getsid(pid) for pid in (process.pid, *watched.pids)}) == 5
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert watched.have_ended(0)
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in out + err


def test_killed(tmp_path):
    """SIGKILL of the runner leaves no process and no temporary directory."""
    with running_testnet(tmp_path, "toy", *QUICK, "--peers", "3", "--cheat", "none") as process:
        read_until(process, "running")
        watched = Watched(processes_of(tmp_path))
        assert len(watched) == 4
        process.kill()
        process.wait(timeout=10)
        assert watched.have_ended(20)
    assert list(tmp_path.iterdir()) == []


def workers_of(pid):
    """The child processes of a process."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_book_takes_its_workers_along(tmp_path, number, code):
    """A signal to the command alone ends it at once, although its tasks take minutes, and no process is left."""
    with running_testnet(tmp_path, "--book", "--quick") as process:
        while len(workers_of(process.pid)) < 3:  # two workers, and Python's tracker of resources
            assert process.poll() is None
            time.sleep(0.05)
        watched = Watched(workers_of(process.pid))
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == code
        assert watched.have_ended(20)


def test_killed_while_it_starts(tmp_path):
    """SIGKILL of a runner that is still loading leaves no process either."""
    with running_testnet(tmp_path, "toy", *QUICK, "--peers", "3", "--cheat", "none") as process:
        read_until(process, "loading")
        process.kill()
        process.wait(timeout=10)
        assert Watched(processes_of(tmp_path)).have_ended(20)
    assert processes_of(tmp_path) == []


async def test_killed_and_restarted_in_the_middle(tmp_path):
    """A peer that is killed with kill -9 and restarted reaches the same ledger root without a fork.

    It continues its own log at its end, and no peer holds two records for one place of it.
    """
    plan = toy_plan()
    with trio.fail_after(RUN_S):
        async with open_testnet(plan, tmp_path) as testnet:
            watch, everybody = testnet.watch, [peer.name for peer in plan.peers]
            victim = everybody[2]

            def epoch_of(name):
                newest = watch.statuses[name].final if name in watch.statuses else None
                return -1 if newest is None else newest.epoch

            await watch.wait_for(lambda _: epoch_of(victim) >= 2)
            await testnet.kill(victim)
            written = own_records(testnet, victim, victim)
            gone_at = epoch_of(everybody[0])
            await watch.wait_for(lambda _: epoch_of(everybody[0]) >= gone_at + 2)
            await testnet.restart(victim)
            back_at = epoch_of(everybody[0])
            # Its silence after the start is over, so it has written again.
            await watch.wait_for(lambda w: w.judgement().at is not None and w.judgement().at.epoch >= back_at + 5)
            judged = watch.judgement()
            roots = {
                c.ledger_root for name in everybody for c in watch.statuses[name].recent_cuts if c.cut == judged.at.cut
            }
        assert judged.views_agree
        assert judged.honest_convicted == ()
        assert judged.scores[victim].standing in ("probation", "trusted")
        assert roots == {judged.at.ledger_root}
        for name in everybody:
            held = own_records(testnet, name, victim)
            assert len(held) == len(set(held)), "a fork"
        assert set(written) < set(own_records(testnet, victim, victim))


def own_records(testnet, holder, author):
    """The sequence numbers of an author's records in a peer's database."""
    key = next(peer.key for peer in testnet.plan.peers if peer.name == author)
    with sqlite3.connect(f"file:{testnet.home(holder).database_path}?mode=ro", uri=True) as database:
        found = [seq for (seq,) in database.execute("SELECT seq FROM records WHERE author = ?", (key,))]
    database.close()
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.toml"], "no such file"),
        (["toy", "--cheat", "lazy"], "no kind of cheater 'lazy'"),
        (["toy", "--cheat", "prune@2"], "rate 2"),
        (["toy", "--cheat", "prune*3"], "half or more"),
        (["toy", "--peers", "1"], "not from 2 to 64"),
        (["toy", "--timeout", "0"], "not a valid timeout"),
        (["toy", "--timeout", "nan"], "not a valid timeout"),
        (["toy", "--seed", "-1"], "--seed"),
        (["toy", "--json", "absent/r.json"], "does not exist"),
        (["toy", "--keep", "/proc"], "is not empty"),
        (["toy", "--engine", "gpt"], "--engine"),
    ],
)
def test_usage(capsys, arguments, said):
    """Arguments that make no testnet give two lines and exit code 2 before anything is started."""
    with pytest.raises(SystemExit) as caught:
        main.main(args=["testnet", *arguments])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert said in first
    assert second.startswith("hint: ")


def test_a_peer_that_cannot_start_is_told(tmp_path):
    """A peer that ends early ends the run with exit code 1, its name, and the end of its log."""
    with running_testnet(tmp_path, "toy", *QUICK, "--peers", "3", "--cheat", "none") as process:
        read_until(process, "running")
        (directory,) = tmp_path.iterdir()
        peer = next(pid for pid in processes_of(tmp_path) if command_name(pid) == "p2pv-peer2")
        subprocess.run(["kill", "-SEGV", str(peer)], check=True)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "peer2 was ended by SIGSEGV" in err
    assert "hint: the end of its log is above" in err
    assert not directory.exists()


def command_name(pid):
    """The name that a process has set for itself."""
    return Path(f"/proc/{pid}/comm").read_text().strip()
