"""Our side: whole nodes (machine, driver, mesh) without a disk. Tests can wait for their gossip."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import trio

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.machine import Machine
from p2pverify.engine.toy import ToyEngine
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.node.clock import unix_ms
from p2pverify.node.driver import Driver
from tests.node.fakes import FakeJournal

LOCAL = "/ip4/127.0.0.1/tcp/0"


class Ear:
    """Calls the driver for the mesh, and sets an event after each message."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.verdicts: list[GossipVerdict] = []
        self.changed = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        verdict = self._driver.judge(message, source)
        self.verdicts.append(verdict)
        self.changed.set()
        self.changed = trio.Event()
        return verdict


class Node:
    """One of our nodes. Its mesh runs from the start, its machine from `begin` on."""

    def __init__(
        self,
        name: str,
        network: Network,
        manifest: Manifest,
        *bootstrap: str,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        seed = seed_of(name)
        engine = ToyEngine()
        self.driver = Driver(
            Machine(network, seed, 0, manifest, engine.info.context_tokens), FakeJournal(), engine, clock=clock
        )
        self.ear = Ear(self.driver)
        self.mesh = Libp2pNetwork(seed, network.id, [LOCAL], bootstrap, self.ear)
        self.peer = peer_id(self.mesh.peer)
        self.address = ""

    async def listen(self, nursery: trio.Nursery) -> None:
        self.address = (await nursery.start(self.mesh.run))[0]

    async def begin(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.driver.run, self.mesh)

    def holds(self, record_id: bytes) -> bool:
        return record_id in self.driver.machine.context.ledger

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition that can change with each gossip message."""
        while not holds():
            await self.ear.changed.wait()

    async def wait_greeted(self, key: bytes) -> None:
        """Wait until a connected peer has sent its topics, even if it lacks our own protocols."""
        while (link := self.mesh._host.link(key)) is None or not link.subscribed.is_set():
            await self.mesh._changed.wait()


def seed_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def keys_of(*names: str) -> Iterator[bytes]:
    return (sign.public_key(seed_of(name)) for name in names)
