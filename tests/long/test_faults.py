"""Faults of a testnet: their victims, their times, and carrying them out on real sockets and on fake victims."""

import signal
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pverify.testnet.faults import Fault, FaultKind, plan_faults
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.nemesis import Nemesis
from p2pverify.testnet.processes.relay import Relays
from p2pverify.testnet.processes.runner import open_testnet
from p2pverify.testnet.processes.verdict import judge
from p2pverify.testnet.scenario import load_scenario
from tests.testnet.support import cut, status, view_at

NAMES = [f"peer{n}" for n in range(1, 9)]
FAULTY = """
[testnet]
peers = 6
engine = "toy"
[network]
epoch_ms = 800
slots_milli = 2000
prompt_tokens = 8
answer_tokens = 8
[[fault]]
kind = "crash"
epoch = 2
seconds = 1
[[fault]]
kind = "pause"
epoch = 3
seconds = 1.5
[[fault]]
kind = "partition"
epoch = 3
seconds = 3
peers = 2
"""


def scenario(tmp_path: Path, text: str = FAULTY):
    path = tmp_path / "faulty.toml"
    path.write_text(text)
    return load_scenario(str(path))


# ---------------------------------------------------------------- plans


def test_victims_follow_from_the_seed():
    """Equal seeds choose equal victims, and another seed others. The order in the file has no effect."""
    faults = [Fault(FaultKind.CRASH, 3, 1000, 2), Fault(FaultKind.PARTITION, 5, 4000, 3)]
    one = plan_faults(faults, NAMES, epoch_ms=1000, seed=1)
    assert one == plan_faults(faults[::-1], NAMES, epoch_ms=1000, seed=1)
    assert [(f.kind, f.begins_ms, f.ends_ms, len(f.victims)) for f in one] == [
        ("crash", 3000, 4000, 2),
        ("partition", 5000, 9000, 3),
    ]
    others = {plan_faults(faults, NAMES, epoch_ms=1000, seed=seed)[0].victims for seed in range(20)}
    assert len(others) > 5


def test_nobody_is_killed_while_it_is_stopped():
    """Overlapping crashes and pauses have different victims. A partition may have any."""
    faults = [
        Fault(FaultKind.CRASH, 1, 5000, 3),
        Fault(FaultKind.PAUSE, 2, 5000, 5),
        Fault(FaultKind.PARTITION, 2, 1, 8),
    ]
    for seed in range(10):
        crash, partition, pause = plan_faults(faults, NAMES, epoch_ms=1000, seed=seed)
        assert set(crash.victims) | set(pause.victims) == set(NAMES) == set(partition.victims)
    with pytest.raises(ValueError, match="needs 6 peers, of which 5 are free"):
        plan_faults([*faults[:1], Fault(FaultKind.PAUSE, 2, 1, 6)], NAMES, epoch_ms=1000, seed=1)


def test_a_plan_takes_its_faults_from_the_scenario(tmp_path):
    """They begin with an epoch of any length and last for seconds. Too few peers are refused."""
    plan = make_plan(scenario(tmp_path), peers=12).with_epochs(1600)
    assert [(f.begins_ms, f.ends_ms) for f in plan.faults] == [(3200, 4200), (4800, 7800), (4800, 6300)]
    assert plan.calm_epoch == 5
    with pytest.raises(PlanError, match="needs 9 peers"):
        make_plan(scenario(tmp_path, FAULTY.replace("peers = 2", "peers = 9")))


def test_a_run_with_faults_is_judged_after_them(tmp_path):
    """A common cut from before the end of the last fault does not pass."""
    plan = make_plan(scenario(tmp_path), cheats=(), epoch_ms=600)
    assert plan.calm_epoch == 8
    names = [peer.name for peer in plan.peers]
    early, late = cut(7), cut(12)
    before = judge(plan, {name: status(early) for name in names}, {early.cut: {names[0]: view_at(plan, early)}})
    assert "the last fault ends before 8" in " ".join(before.missing)
    after = judge(plan, {name: status(late) for name in names}, {late.cut: {names[0]: view_at(plan, late)}})
    assert not [reason for reason in after.missing if "fault" in reason]


# ---------------------------------------------------------------- nemesis


def virtual_ms() -> int:
    return round(1000 * trio.current_time())


class Noted:
    """Victims that note each action and its time."""

    def __init__(self) -> None:
        self.done: list[tuple[int, str, str]] = []

    def _note(self, name: str, what: str) -> None:
        self.done.append((virtual_ms(), name, what))

    async def kill(self, name: str) -> None:
        self._note(name, "kill")

    async def restart(self, name: str) -> None:
        self._note(name, "restart")

    async def signal(self, name: str, number: signal.Signals) -> None:
        self._note(name, number.name)


async def test_faults_are_carried_out_in_time(autojump_clock: MockClock):
    """Each begins and ends as planned, and is shown while it lasts."""
    noted = Noted()
    faults = [Fault(FaultKind.CRASH, 1, 2500), Fault(FaultKind.PAUSE, 2, 1000)]
    plan = plan_faults(faults, NAMES, epoch_ms=1000, seed=4)
    crashed, paused = plan[0].victims[0], plan[1].victims[0]
    genesis_ms = virtual_ms()
    nemesis = Nemesis(plan, noted, None, genesis_ms=genesis_ms, clock=virtual_ms)
    await nemesis.run()
    assert [(at_ms - genesis_ms, name, what) for at_ms, name, what in noted.done] == [
        (1000, crashed, "kill"),
        (2000, paused, "SIGSTOP"),
        (3000, paused, "SIGCONT"),
        (3500, crashed, "restart"),
    ]
    assert nemesis.active == []


async def test_a_stopped_peer_is_continued_when_the_run_ends(autojump_clock: MockClock):
    """If it is cancelled during a pause, the nemesis continues the peer, because a stopped peer could not be ended."""
    noted = Noted()
    plan = plan_faults([Fault(FaultKind.PAUSE, 0, 60_000)], NAMES, epoch_ms=1000, seed=1)
    with trio.move_on_after(5):
        await Nemesis(plan, noted, None, genesis_ms=virtual_ms(), clock=virtual_ms).run()
    assert [what for _, _, what in noted.done] == ["SIGSTOP", "SIGCONT"]


# ---------------------------------------------------------------- relays


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def test_a_cut_holds_bytes_back_and_a_heal_lets_them_go():
    """Bytes across a partition arrive after it. Within one side nothing is delayed."""
    relays = Relays({"a": "127.0.1.201", "b": "127.0.1.202", "c": "127.0.1.203"})
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.1.201"))
            target = listeners[0].socket.getsockname()[1]
            probe = await trio.open_tcp_listeners(0, host="127.0.1.201")
            port = probe[0].socket.getsockname()[1]
            await probe[0].aclose()
            await nursery.start(relays.serve, "a", port, target)
            b = await trio.open_tcp_stream("127.0.1.201", port, local_address="127.0.1.202")
            c = await trio.open_tcp_stream("127.0.1.201", port, local_address="127.0.1.203")
            await b.send_all(b"1")
            assert await b.receive_some(1) == b"1"
            side = relays.cut({"b"})
            await b.send_all(b"2")
            await c.send_all(b"3")
            assert await c.receive_some(1) == b"3"  # b's byte was sent earlier and would have arrived
            late = await trio.open_tcp_stream("127.0.1.201", port, local_address="127.0.1.202")
            await late.send_all(b"4")
            heard: list[bytes] = []

            async def hear(stream: trio.SocketStream) -> None:
                heard.append(await stream.receive_some(1))

            async with trio.open_nursery() as hearing:
                hearing.start_soon(hear, b)
                hearing.start_soon(hear, late)
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert heard == []
                relays.heal(side)
            assert sorted(heard) == [b"2", b"4"]
            for stream in (b, c, late):
                await stream.aclose()
            nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- processes


async def test_a_testnet_survives(tmp_path):
    """With real processes, one is killed and restarted, one is stopped, and two are isolated. Then all agree on a later
    cut."""
    plan = make_plan(scenario(tmp_path), cheats=(), seed=5)
    run = tmp_path / "run"
    run.mkdir()
    with trio.fail_after(80):
        async with open_testnet(plan, run) as testnet:
            await testnet.watch.wait_for(lambda watch: any(f.kind == "partition" for f in testnet.nemesis.active))
            (parted,) = [fault for fault in testnet.nemesis.active if fault.kind == "partition"]
            await testnet.watch.wait_for(lambda watch: watch.judgement().is_over)
            report = testnet.report(0)
    assert report.passes, report.summary()
    at = report.judgement.at
    assert at is not None
    assert at.epoch >= plan.calm_epoch
    assert len(parted.victims) == 2
    assert "survived: crash of" in report.summary()
