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
from time import time_ns
from typing import TYPE_CHECKING, Any

import trio

from p2pverify.core.contract.network import Network
from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.files.networkfile import add_model, dump_network, manifest_of, new_network
from p2pverify.testnet.capacity.load import MeasuredMachine, start_ms
from p2pverify.testnet.capacity.machine import usable_cores
from p2pverify.testnet.classes import Classes, find_classes
from p2pverify.testnet.clients import ClientLoad
from p2pverify.testnet.faults import FaultKind
from p2pverify.testnet.plan import PeerPlan, Plan, PlanError
from p2pverify.testnet.processes.cases.making import MadeCase, make_case, with_case
from p2pverify.testnet.processes.cases.story import CasePlay
from p2pverify.testnet.processes.fleet import Fleet, free_ports, open_fleet
from p2pverify.testnet.processes.nemesis import Nemesis
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.relay import Relays
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.takeover.attack import Attack
from p2pverify.testnet.processes.upgrade.making import hand_over, make_version
from p2pverify.testnet.processes.upgrade.story import DOMAIN, LINE, Upgrade
from p2pverify.testnet.processes.watch import RunWatch
from p2pverify.testnet.publishers import TestPublishers

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

_BOOTSTRAP_PEERS = 3
#: A peer gets a 32nd of it, and the file should be everywhere before the notice is over.
_UPLOAD_MB_PER_S = 1000
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
        names = [peer.name for peer in plan.peers]
        # Each peer has an address of its own, as on a network, so that relays can tell peers apart.
        self._hosts = {name: f"127.0.1.{number + 1}" for number, name in enumerate(names)}
        self.relays = Relays(self._hosts) if any(f.kind is FaultKind.PARTITION for f in plan.faults) else None
        ports = free_ports(2 * len(names))
        self._ports = dict(zip(names, ports, strict=False))
        self._relay_ports = dict(zip(names, ports[len(names) :], strict=True))
        self.clients = ClientLoad(self)
        self.nemesis = Nemesis(plan.faults, self, self.relays, genesis_ms=network.params.genesis_ms)

    def home(self, name: str) -> Home:
        """A peer's home directory."""
        return Home(self.directory / name)

    def log(self, name: str) -> Path:
        """The file with the output of a peer's process."""
        return self.directory / f"{name}.log"

    def address(self, peer: PeerPlan) -> str:
        """The address at which others reach a peer."""
        port = self._ports[peer.name] if self.relays is None else self._relay_ports[peer.name]
        return f"/ip4/{self._hosts[peer.name]}/tcp/{port}/p2p/{peer.peer_id}"

    async def start(self, name: str) -> None:
        """Start a peer's process, the first time or again."""
        self.home(name).clear_api()
        await self.fleet.start(name, self._arguments(name), self.log(name))

    async def start_ready(self, name: str) -> None:
        """Start a peer and wait until its API answers."""
        await self.start(name)
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
        await self.relays.serve(name, self._relay_ports[name], self._ports[name], task_status=task_status)

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
        )

    def _arguments(self, name: str) -> list[str]:
        peer = self.plan.peer(name)
        others = [other for other in self.plan.peers if other is not peer][:_BOOTSTRAP_PEERS]
        arguments = ["--home", str(self.home(name).path), "join", str(self._network_files[name])]
        arguments += ["--listen", f"/ip4/{self._hosts[name]}/tcp/{self._ports[name]}", "--http", "127.0.0.1:0"]
        if self.relays is not None:
            arguments += ["--announce", self.address(peer).removesuffix(f"/p2p/{peer.peer_id}")]
        arguments += ["--engine", peer.path.engine, "--variant", peer.path.variant]
        if peer.weights is not None:
            arguments += ["--weights", str(peer.weights)]
        for other in others:
            arguments += ["--bootstrap", self.address(other)]
        if len(self.plan.peers) == 1:
            arguments.append("--alone")
        if peer.cheat is not None:
            arguments += ["--cheat", str(peer.cheat)]
        return arguments


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
        testnet = Testnet(plan, directory, fleet, _write_files(plan, machine, directory, classes, case), classes)
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
                    watching.start_soon(testnet.clients.run)
                    yield testnet
                    watching.cancel_scope.cancel()
            finally:
                stage.enter("stopping peers")
                with trio.CancelScope(shield=True):
                    await fleet.stop_all()
            relaying.cancel_scope.cancel()


async def _start_all(testnet: Testnet, stage: Stage) -> None:
    peers = testnet.plan.peers
    stage.enter("starting peers", len(peers))

    async def start(name: str) -> None:
        await testnet.start_ready(name)
        stage.done += 1

    async with trio.open_nursery() as nursery:
        for peer in peers:
            nursery.start_soon(start, peer.name)
    stage.enter("running")


def _write_files(
    plan: Plan, machine: MeasuredMachine, directory: Path, classes: Sequence[Classes], case: MadeCase | None
) -> Network:
    """Write the network file, and a home with an identity for each peer. Epoch 0 begins when all should be up."""
    is_tested = case is None and any(each.known is not None for each in classes)
    starts_ms = start_ms(plan, machine, is_tested=is_tested)
    first, *more = classes
    rules: dict[str, Any] = {**plan.rules, "genesis_ms": time_ns() // 1_000_000 + starts_ms}
    try:
        network, manifests = new_network(
            f"testnet-{plan.seed}",
            [peer.key for peer in plan.founders],
            first.info,
            honest_ppm=plan.honest_ppm,
            known=first.known,
            others=first.others,
            referee=plan.referee,
            across=plan.across,
            **rules,
        )
        for each in more:
            paths = ((each.info.engine, each.info.numeric_path), *each.others)
            manifest = each.known or manifest_of(each.info)
            network, manifests = add_model(
                network, manifests, manifest, paths=paths, honest_ppm=plan.honest_ppm, across=plan.across
            )
    except ValueError as error:
        raise PlanError(f"these rules make no network: {error}", "correct the scenario's [network]") from None
    if plan.upgrade is not None:
        epochs = (plan.upgrade.notice_epochs, plan.upgrade.overlap_epochs, plan.upgrade.recall_epochs)
        line = TestPublishers(DOMAIN, plan.seed).line(LINE, network.classes[0].manifest, epochs)
        network = replace(network, lines=(line,))
    if case is not None:
        network = with_case(network, case)
    with atomic_file(directory / "network.toml", mode=0o600) as file:
        file.write(dump_network(network, manifests).encode())
    for peer in plan.peers:
        home = Home(directory / peer.name)
        home.path.mkdir(mode=0o700)
        with atomic_file(home.identity_path, mode=0o600) as file:
            file.write(f"{peer.seed.hex()}\n".encode())
        with atomic_file(home.config_path, mode=0o600) as file:
            file.write(_config(plan, peer).encode())
    return network


def _config(plan: Plan, peer: PeerPlan) -> str:
    """The settings of a peer. Many peers share the machine, so each engine answers one question at a time.

    Nothing is audited without clients, because nobody has a receipt.
    """
    lines = ["lanes = 1", 'history = "all"']  # the verdict is about the whole history
    if plan.hardware:
        lines.append(f'hardware = "{plan.hardware}"')
    if plan.clients is not None:
        lines += [f"audit_rate = {plan.clients.audit_rate}", f'report = "{plan.clients.report}"']
    if plan.case is not None:
        lines += ["[upgrade]", 'policy = "notice"']
    if plan.upgrade is not None:
        policy = "manual" if peer in plan.late else "notice"
        lines += [
            "[blobs]",
            "serve = true",
            f"upload_mb_per_s = {_UPLOAD_MB_PER_S}",
            "[upgrade]",
            f'policy = "{policy}"',
            "fetch = true",
        ]
    return "".join(f"{line}\n" for line in lines)


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
