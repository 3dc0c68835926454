"""Plays a plan to its verdict, with epochs that this machine can sustain.

The length of an epoch is in the network file, so it must be known before the peers start. First the machine is measured
and the plan is fitted to it. The peers can still fall behind, for example because other programs become busy. Then this
network is stopped, and a new one with epochs twice as long is started.
"""

import json
import shutil
from pathlib import Path

import trio

from p2pverify.node.engines.kinds import ENGINES
from p2pverify.node.files.home import atomic_file
from p2pverify.testnet.capacity.load import MeasuredMachine, check_memory, fit
from p2pverify.testnet.capacity.machine import available_mb, measure, usable_cores
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.runner import Fitted, Testnet, open_testnet
from p2pverify.testnet.processes.verdict import jobs_of
from p2pverify.testnet.processes.watch import RunWatch

_LONGER = 2
_RESTARTS_MAX = 2
#: Peers are behind if one in _LATE_SHARE of at least _JOBS_EACH jobs per peer is late, or if no cut was certified in
#: _EPOCHS_WITHOUT_CUT epochs without a fault, unless the honest peers have to stop the network.
_LATE_SHARE = 4
_JOBS_EACH = 6
_EPOCHS_WITHOUT_CUT = 8


async def run(plan: Plan, directory: Path, *, stage: Stage, remove: bool, running: list[Testnet]) -> Report | None:
    """Play a plan until its verdict or its timeout. None if the timeout came before the peers were up.

    `running` gets the testnet when its peers answer, so that the caller can show it. Raises PlanError if this machine
    cannot sustain the plan.
    """
    check_memory(plan, available_mb())
    for restarts_left in reversed(range(_RESTARTS_MAX + 1)):
        attempt = _Attempt(plan, stage, can_restart=restarts_left > 0)
        report = await attempt.play(directory, remove, running)
        if not attempt.is_behind:
            break
        plan = attempt.plan.with_epochs(_LONGER * attempt.plan.epoch_ms)
        stage.tell(f"{attempt.why}; starting again with epochs of {_seconds(plan.epoch_ms)}")
        running.clear()
        await trio.to_thread.run_sync(_empty, directory)
    if report is not None and not remove:
        with atomic_file(directory / "report.json", mode=0o644) as file:
            file.write(json.dumps(report.document(), indent=1).encode() + b"\n")
    return report


class _Attempt:
    """One network. After the measurement of the machine, `plan` is the fitted plan."""

    def __init__(self, plan: Plan, stage: Stage, *, can_restart: bool) -> None:
        self.plan = plan
        self.is_behind = False
        self.why = ""
        self._stage = stage
        self._can_restart = can_restart and not plan.is_epoch_given
        # A timeout given by the user covers the whole run, restarts included.
        spent_s = stage.seconds if plan.is_timeout_given else 0.0
        self._began_s = trio.current_time() - spent_s
        self._scope = trio.CancelScope(deadline=self._began_s + plan.timeout_s)

    async def play(self, directory: Path, remove: bool, running: list[Testnet]) -> Report | None:
        seconds = self.plan.timeout_s
        with self._scope:
            async with open_testnet(
                self.plan, directory, stage=self._stage, remove=remove, fitted=self._fitted
            ) as testnet:
                running.append(testnet)
                await testnet.watch.wait_for(self._is_over)
                seconds = self._stage.seconds
        if self._scope.cancelled_caught:
            seconds = self._stage.seconds
        return running[0].report(seconds) if running else None

    async def _fitted(self, plan: Plan) -> Fitted:
        if plan.is_epoch_given:
            return plan, MeasuredMachine(usable_cores())
        self._stage.enter("measuring this machine")
        machine = await trio.to_thread.run_sync(measure, plan)
        self.plan = fit(plan, machine)
        if self.plan is not plan:
            self._scope.deadline = self._began_s + self.plan.timeout_s
            self._stage.tell(
                f"epochs of {_seconds(self.plan.epoch_ms)} instead of {_seconds(plan.epoch_ms)}, as this machine "
                f"{_speed(plan, machine)}"
            )
        return self.plan, machine

    def _is_over(self, watch: RunWatch) -> bool:
        """Whether the run passes, can no longer pass, or should be restarted."""
        if watch.judgement().is_over:
            return True
        if self._can_restart and self._has_time():
            self.why = _why_behind(watch)
            self.is_behind = bool(self.why)
        return self.is_behind

    def _has_time(self) -> bool:
        """Whether another network would have at least as much time as this one had."""
        return not self.plan.is_timeout_given or 2 * self._stage.seconds < self.plan.timeout_s


def _why_behind(watch: RunWatch) -> str:
    """The reason why the peers are behind; empty if they are not."""
    plan = watch.plan
    jobs = jobs_of(watch.statuses)
    epochs = f"in epochs of {_seconds(plan.epoch_ms)}"
    if jobs.total >= _JOBS_EACH * len(plan.peers) and _LATE_SHARE * jobs.late >= jobs.total:
        return f"{jobs.late} of {jobs.total} jobs were late {epochs}"
    read = [watch.statuses[peer.name] for peer in plan.honest if peer.name in watch.statuses]
    newest = max((cut.epoch for status in read for cut in status.recent_cuts), default=None)
    since = max(watch.from_epoch, plan.calm_epoch, 0 if newest is None else newest)
    stops = watch.takeover.lies_from is not None and watch.takeover.fork is None
    if not stops and any(status.epoch >= since + _EPOCHS_WITHOUT_CUT for status in read):
        return f"no cut was certified {'' if newest is None else f'after epoch {newest} '}{epochs}"
    return ""


def _speed(plan: Plan, machine: MeasuredMachine) -> str:
    count = len(plan.peers)
    cores = machine.capacity(count)
    tokens = f", which write {cores / machine.token_s:.0f} tokens a second" if ENGINES[plan.engine].is_model else ""
    return f"has {cores:.1f} cores for {count} peers{tokens}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g} s"


def _empty(directory: Path) -> None:
    """Empty the directory, as before the run. Create it if it was removed with the processes."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, exist_ok=True)
