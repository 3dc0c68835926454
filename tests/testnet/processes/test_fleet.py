"""Processes by name: they are started and ended, and none is left behind."""

import os
import signal

import pytest
import trio

from p2pverify.testnet.processes.fleet import ProcessError, free_ports, open_fleet
from tests.testnet.support import Watched, processes_of

#: A command that runs until it is told to end.
LASTING = ["wait", "--timeout", "600"]


async def fault_of(run):
    """The ProcessError that `run` raises."""
    with trio.fail_after(30), pytest.raises(ExceptionGroup) as caught:
        await run()
    (error,) = caught.value.exceptions
    assert isinstance(error, ProcessError)
    return error


async def test_a_process_runs_a_command_line(tmp_path):
    """A started process has its own id, prints to its log and ends when it is killed."""
    with trio.fail_after(30):
        async with open_fleet(tmp_path / "spawner.log") as fleet:
            pid = await fleet.start("alice", ["--home", str(tmp_path), *LASTING], tmp_path / "alice.log")
            assert fleet.pids == {"alice": pid}
            await fleet.kill("alice")
            assert fleet.pids == {}
            again = await fleet.start("alice", ["--home", str(tmp_path), *LASTING], tmp_path / "alice.log")
            assert again != pid
            assert await fleet.stop("alice") == -signal.SIGTERM


async def test_an_unexpected_end_is_told_with_the_log(tmp_path):
    """A process that ends by itself ends the block with its name, its exit code and the end of its log."""

    async def run():
        async with open_fleet(tmp_path / "spawner.log") as fleet:
            await fleet.start("bob", ["--home", str(tmp_path / "none"), "status"], tmp_path / "bob.log")
            await trio.sleep_forever()

    error = await fault_of(run)
    assert error.reason == "bob ended with exit code 3"
    assert "no node is running" in error.tail


async def test_nothing_survives_the_block(tmp_path):
    """Every process that still runs when the block ends is killed."""
    with trio.fail_after(30):
        async with open_fleet(tmp_path / "spawner.log", remove=tmp_path / "work") as fleet:
            for name in ("alice", "bob"):
                await fleet.start(name, ["--home", str(tmp_path), *LASTING], tmp_path / "log")
            watched = Watched(processes_of(tmp_path / "work"))
            assert len(watched) == 3
    assert watched.have_ended(0)


async def test_peers_die_with_the_spawner(tmp_path):
    """The kernel kills the peers if their spawner is killed, and the runner gets an error."""
    watched = []

    async def run():
        async with open_fleet(tmp_path / "spawner.log", remove=tmp_path / "work") as fleet:
            pid = await fleet.start("alice", ["--home", str(tmp_path), *LASTING], tmp_path / "log")
            pids = processes_of(tmp_path / "work")
            watched.append(Watched(pids))
            (spawner,) = set(pids) - {pid}
            os.kill(spawner, signal.SIGKILL)
            await trio.sleep_forever()

    error = await fault_of(run)
    assert error.reason == "the process that starts the peers has ended"
    assert watched[0].have_ended(10)


def test_ports_are_distinct_and_not_ephemeral():
    """No outgoing connection can take a port that a peer needs again after a restart."""
    ports = free_ports(64)
    assert len(set(ports)) == 64
    assert all(1024 < port < 32_768 for port in ports)
