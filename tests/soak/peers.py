"""A network of toy peers in processes of their own, each with a home, a clock, and a relay in front of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, new_network
from p2pverify.node.identity.private import HomeError
from p2pverify.testnet.processes.fleet import free_ports, tail
from p2pverify.testnet.processes.relay import Relays
from tests.soak.node import set_clock
from tests.soak.places import mount_small, mounts, unmount

ROOT = Path(__file__).parents[2]
START_S = 10.0
STOP_S = 20.0
ANSWERS_S = 120.0  # from a start until the API answers
RULES = {
    "slots_milli": 1000,
    "panel_size": 2,
    "prompt_tokens": 8,
    "answer_tokens": 8,
    "disputes_per_cut": 2,
    "growth_epochs": 16,
    "tenure_epochs": 0,
}


@dataclass(eq=False)
class SoakPeer:
    """One peer. `ended` are exit codes of processes that nobody had stopped, each with the end of its log."""

    name: str
    folder: Path
    host: str
    port: int
    relay_port: int
    cheat: str = ""
    process: trio.Process | None = None
    may_end: bool = False
    ended: list[tuple[int, str]] = field(default_factory=list)

    @property
    def home(self) -> Home:
        return Home(self.folder / self.name)

    @property
    def key(self) -> bytes:
        return public_key(self.home.load_identity())

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def clock(self) -> Path:
        return self.folder / f"{self.name}.clock"

    @property
    def pid(self) -> int:
        """0 if it does not run."""
        return 0 if self.process is None or self.process.returncode is not None else self.process.pid

    @property
    def address(self) -> str:
        return f"/ip4/{self.host}/tcp/{self.relay_port}"

    @property
    def api(self) -> str | None:
        try:
            return self.home.read_api() if self.pid else None
        except HomeError:
            return None


class SoakNetwork:
    """All peers of a soak. `run` must run while they are started, and ends with all of them killed."""

    def __init__(self, folder: Path, names: Sequence[str], epoch_ms: int, cheats: dict[str, str]) -> None:
        self.folder = folder
        self.epoch_ms = epoch_ms
        ports = free_ports(2 * len(names))
        self.peers = {
            name: SoakPeer(name, folder, f"127.0.2.{place}", port, relay, cheats.get(name, ""))
            for place, (name, port, relay) in enumerate(
                zip(names, ports[: len(names)], ports[len(names) :], strict=True), 1
            )
        }
        for peer in self.peers.values():
            set_clock(peer.clock, 0)
            peer.home.path.mkdir()
            if mounts():
                mount_small(peer.home.path)
            peer.home.init()
        self.genesis_ms = time.time_ns() // 1_000_000 + round(1000 * START_S)
        keys = {name: peer.key for name, peer in self.peers.items()}
        network, manifests = new_network(
            "soak",
            sorted(keys.values()),
            ToyEngine().info,
            genesis_ms=self.genesis_ms,
            epoch_ms=epoch_ms,
            **RULES,  # type: ignore[arg-type]  # the other parameters have other types
        )
        self.network = network
        self.keys = keys
        self.names = {peer_id(key): name for name, key in keys.items()}
        (folder / "network.toml").write_text(dump_network(network, manifests))
        self.relays = Relays({name: peer.host for name, peer in self.peers.items()})
        self._nursery: trio.Nursery | None = None

    @property
    def honest(self) -> list[SoakPeer]:
        return [peer for peer in self.peers.values() if not peer.cheat]

    def epoch(self) -> float:
        """The epoch by the clock of this machine."""
        return (time.time_ns() // 1_000_000 - self.genesis_ms) / self.epoch_ms

    async def run(self, then: Callable[[], Awaitable[None]]) -> None:
        """Start relays and peers, and await `then`. At the end all are killed."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for peer in self.peers.values():
                    await nursery.start(partial(self.relays.serve, peer.name, peer.relay_port, peer.port))
                async with trio.open_nursery() as starting:
                    for peer in self.peers.values():
                        starting.start_soon(self.start, peer)
                await then()
                nursery.cancel_scope.cancel()
        finally:
            for peer in self.peers.values():
                if peer.process is not None and peer.process.returncode is None:
                    peer.process.kill()
                if mounts():
                    unmount(peer.home.path)

    # ------------------------------------------------------------ one peer

    async def start(self, peer: SoakPeer, *, answers: bool = True) -> bool:
        """Start a peer that does not run. Waits until its API answers, unless `answers` is false."""
        assert self._nursery is not None
        assert not peer.pid, f"{peer.name} runs already"
        peer.home.clear_api()
        others = [other for other in self.peers.values() if other is not peer][:3]
        command = [sys.executable, "-m", "tests.soak.node", str(peer.clock), "--home", str(peer.home.path)]
        command += ["join", str(self.folder / "network.toml"), "--engine", "toy", "--no-mdns"]
        command += ["--listen", f"/ip4/{peer.host}/tcp/{peer.port}", "--announce", peer.address]
        command += ["--http", "127.0.0.1:0"]
        for other in others:
            command += ["--bootstrap", f"{other.address}/p2p/{peer_id(self.keys[other.name])}"]
        if peer.cheat:
            command += ["--cheat", peer.cheat]
        with peer.log.open("ab") as log:
            peer.process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        peer.may_end = False
        self._nursery.start_soon(self._attend, peer, peer.process)
        if not answers:
            return True
        with trio.move_on_after(ANSWERS_S):
            while peer.api is None and peer.process.returncode is None:  # noqa: ASYNC110 - another process sets it
                await trio.sleep(0.1)
        return peer.api is not None

    async def _attend(self, peer: SoakPeer, process: trio.Process) -> None:
        code = await process.wait()
        if not peer.may_end and peer.process is process:
            peer.ended.append((code, tail(peer.log)))

    async def kill(self, peer: SoakPeer) -> None:
        """SIGKILL."""
        peer.may_end = True
        if peer.process is not None and peer.process.returncode is None:
            peer.process.kill()
            await peer.process.wait()

    async def stop(self, peer: SoakPeer) -> int:
        """End it as an operator would. Returns its exit code; it is killed after STOP_S."""
        peer.may_end = True
        process = peer.process
        assert process is not None
        if process.returncode is None:
            process.terminate()
            with trio.move_on_after(STOP_S):
                await process.wait()
            if process.returncode is None:
                await self.kill(peer)
        assert process.returncode is not None
        return process.returncode

    def signal(self, peer: SoakPeer, number: signal.Signals) -> None:
        if peer.process is not None and peer.process.returncode is None:
            peer.process.send_signal(number)
