"""A testnet of real processes on this machine. `Testnet` starts, stops, kills and restarts peers by name.

Every peer is started with `p2pverify --home DIR join network.toml`, as an operator would. A cheater also gets a hidden
`--cheat`. The runner reads the local APIs and the homes of the peers, and takes no part in the network.
"""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.network import Network
from p2pverify.node.files.home import Home
from p2pverify.testnet.capacity.load import MeasuredMachine
from p2pverify.testnet.capacity.machine import usable_cores
from p2pverify.testnet.classes import Classes, find_classes
from p2pverify.testnet.clients import ClientLoad
from p2pverify.testnet.faults import FaultKind
from p2pverify.testnet.plan import Plan, PlanError
from p2pverify.testnet.processes.cases.making import make_case
from p2pverify.testnet.processes.cases.story import CasePlay
from p2pverify.testnet.processes.fleet import Fleet, open_fleet
from p2pverify.testnet.processes.homes.places import Places
from p2pverify.testnet.processes.homes.writing import write_files
from p2pverify.testnet.processes.lasting.story import Lasting
from p2pverify.testnet.processes.nemesis import Nemesis
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.relay import Relays
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.takeover.attack import Attack
from p2pverify.testnet.processes.upgrade.making import hand_over, make_version
from p2pverify.testnet.processes.upgrade.story import Upgrade
from p2pverify.testnet.processes.watch import RunWatch

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

#: The plan adapted to this machine, and the measurements of the machine.
Fitted = tuple[Plan, MeasuredMachine]


class Testnet:
    """A running testnet. Made by `open_testnet`."""

    __test__ = False  # its name begins like that of a test

    def __init__(self, plan: Plan, directory: Path, fleet: Fleet, network: Network, classes: Sequence[Classes]) -> None:
        self.plan = plan
        self.directory = directory
        self.network = network
        self._network_files = {peer.name: directory / "network.toml" for peer in plan.peers}
        self.model = ", ".join(each.info.model for each in classes)
        self.watch = RunWatch(plan, self.home)
        self.fleet = fleet
        is_parted = any(fault.kind is FaultKind.PARTITION for fault in plan.faults)
        self.places = Places(plan, relayed=is_parted)
        self.relays = Relays(self.places.hosts) if is_parted else None
        self.clients = ClientLoad(self)
        self.nemesis = Nemesis(plan.faults, self, self.relays, genesis_ms=network.params.genesis_ms)

    def home(self, name: str) -> Home:
        """A peer's home directory."""
        return Home(self.directory / name)

    def log(self, name: str) -> Path:
        """The file with the output of a peer's process."""
        return self.directory / f"{name}.log"

    async def start(self, name: str, *options: str, first: Sequence[str] = ()) -> None:
        """Start a peer's process, the first time or again, with further options, or with other first peers."""
        self.home(name).clear_api()
        home, network = self.home(name).path, self._network_files[name]
        arguments = self.places.arguments(self.plan.peer(name), home, network, first)
        await self.fleet.start(name, [*arguments, *options], self.log(name))

    async def start_ready(self, name: str, *options: str) -> None:
        """Start a peer and wait until its API answers."""
        await self.start(name, *options)
        await self.watch.wait_answers(name)

    async def stop(self, name: str) -> int:
        """End a peer as an operator would. Returns its exit code."""
        return await self.fleet.stop(name)

    async def kill(self, name: str) -> None:
        """End a peer as a power cut would (SIGKILL)."""
        await self.fleet.kill(name)

    async def restart(self, name: str) -> None:
        """Start a killed or stopped peer again, and wait until it answers."""
        await self.start_ready(name)

    async def move(self, files: Mapping[str, Path]) -> None:
        """Stop all peers, and start each again with the network file under its name."""
        async with trio.open_nursery() as nursery:
            for name in files:
                nursery.start_soon(self.stop, name)
        self._network_files |= files
        async with trio.open_nursery() as nursery:
            for name in files:
                nursery.start_soon(self.start_ready, name)

    async def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a peer's process, if it runs."""
        await self.fleet.signal(name, number)

    async def relay(self, name: str, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Relay the connections of other peers to a peer, until cancelled."""
        assert self.relays is not None
        places = self.places
        await self.relays.serve(name, places.relay_ports[name], places.ports[name], task_status=task_status)

    def report(self, seconds: float) -> Report:
        """The report on the run, from the current knowledge."""
        watch = self.watch
        return Report(
            self.plan,
            self.network.id.hex(),
            self.model,
            seconds,
            watch.judgement(),
            dict(watch.statuses),
            watch.takeover if self.plan.takes_over else None,
            None if self.plan.upgrade is None else watch.upgrade,
            watch.case.facts,
            None if self.plan.lasting is None else watch.lasting,
        )


@asynccontextmanager
async def open_testnet(
    plan: Plan,
    directory: Path,
    *,
    stage: Stage | None = None,
    remove: bool = False,
    fitted: Callable[[Plan], Awaitable[Fitted]] | None = None,
) -> AsyncIterator[Testnet]:
    """A testnet in which every peer answers. When the block ends, all processes end.

    With `remove`, the directory is removed even if this process is killed. `fitted` measures the machine when nothing
    of this testnet keeps it busy. Raises ProcessError if a peer ends that nobody stopped, PlanError if the machine
    cannot hold the plan, and an engine's error if its model is missing.
    """
    stage = stage or Stage()
    stage.enter("loading model and code")
    async with open_fleet(directory / "spawner.log", remove=directory if remove else None) as fleet:
        # The model is read here while the spawner imports, each on its own core.
        case = None if plan.case is None else await trio.to_thread.run_sync(make_case, plan, directory)
        plan = plan if case is None else case.plan
        classes = (case.classes,) if case is not None else await trio.to_thread.run_sync(find_classes, plan)
        await fleet.wait_loaded()
        plan, machine = (plan, MeasuredMachine(usable_cores())) if fitted is None else await fitted(plan)
        made = None
        if plan.upgrade is not None:
            stage.enter("making version 1 of the model")
            made = await trio.to_thread.run_sync(make_version, plan, directory / "version-1.gguf")
        testnet = Testnet(plan, directory, fleet, write_files(plan, machine, directory, classes, case), classes)
        if made is not None:
            await trio.to_thread.run_sync(hand_over, made, testnet.home(plan.publisher.name).blobs_path)
        async with trio.open_nursery() as relaying:
            if testnet.relays is not None:
                for peer in plan.peers:
                    await relaying.start(testnet.relay, peer.name)
            try:
                await _start_all(testnet, stage)
                async with trio.open_nursery() as watching:
                    for peer in plan.peers:
                        watching.start_soon(testnet.watch.run, peer.name)
                    watching.start_soon(testnet.nemesis.run)
                    watching.start_soon(Attack(testnet).run)
                    if made is not None:
                        watching.start_soon(Upgrade(testnet, made, stage).run)
                    if case is not None:
                        watching.start_soon(CasePlay(testnet, replace(case, plan=plan), stage).run)
                    if plan.lasting is not None:
                        watching.start_soon(Lasting(testnet, stage).run)
                    watching.start_soon(testnet.clients.run)
                    yield testnet
                    watching.cancel_scope.cancel()
            finally:
                stage.enter("stopping peers")
                with trio.CancelScope(shield=True):
                    await fleet.stop_all()
            relaying.cancel_scope.cancel()


async def _start_all(testnet: Testnet, stage: Stage) -> None:
    plan = testnet.plan
    stage.enter("starting peers", len(plan.starters))

    async def start(name: str) -> None:
        await testnet.start_ready(name)
        stage.done += 1

    for listens in (True, False):  # who listens nowhere has to find others at once
        async with trio.open_nursery() as nursery:
            for peer in plan.starters:
                if plan.listens(peer) is listens:
                    nursery.start_soon(start, peer.name)
    stage.enter("running")


@contextmanager
def working_directory(keep: Path | None) -> Iterator[Path]:
    """The directory of a run: `keep`, or without it a temporary directory that is removed at the end.

    `keep` must be empty or absent, and is not removed. Raises PlanError.
    """
    if keep is None:
        directory = Path(tempfile.mkdtemp(prefix="p2pverify-testnet-"))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        is_empty = not any(keep.iterdir())
    except OSError as error:
        raise PlanError(f"{keep} cannot be used: {error.strerror}", "choose another directory to --keep") from None
    if not is_empty:
        raise PlanError(f"{keep} is not empty", "choose a directory that is empty or does not exist")
    yield keep.absolute()
