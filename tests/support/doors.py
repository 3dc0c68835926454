"""A door for clients whose peers are real: machines of a world, each with a driver and the toy engine."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.machine import Machine
from p2pverify.engine.language import toy_language
from p2pverify.engine.toy import REFEREE, REFEREE_PATH, ToyEngine
from p2pverify.node.clients.audits.auditor import Auditor
from p2pverify.node.clients.book import BookError, KeptReceipt
from p2pverify.node.clients.choice import ModelView, NodeView
from p2pverify.node.clients.door import Door
from p2pverify.node.clients.models.served import OpenLanguage
from p2pverify.node.driver import Driver
from p2pverify.node.ports import Generated, Hear, Neighbour, Reply, unheard
from p2pverify.store.clients.audits import StoredAudits
from p2pverify.store.clients.receipts import StoredReceipts
from p2pverify.testnet.world import World
from tests.node.fakes import FakeJournal, FakeNetwork
from tests.support.networks import MANIFEST
from tests.support.worlds import make_world

EPOCHS = 16
#: The weights (32 B) of a later version of the toy model.
LATER = bytes([9]) * 32


class GatedToy(ToyEngine):
    """A toy that answers only while its gate is open, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Callable[[], None] = lambda: None
        self.asked: list[Ask] = []

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        self.asked.append(ask)
        self.gate()
        return super().answer(ask, hear)


@dataclass
class MeshNetwork(FakeNetwork):
    """Carries requests to the drivers of other peers. `faults` replaces the reply of a peer."""

    own: bytes = b""
    drivers: dict[bytes, Driver] = field(default_factory=dict)
    faults: dict[bytes, Exception | bytes | None] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)

    async def ask(self, peer: bytes, request: bytes, *, tokens_max: int = 0, hear: Hear = unheard) -> Reply:
        self.asked.append(peer)
        if peer not in self.faults:
            return Reply(await self.drivers[peer].serve(request, self.own, hear), 1)
        await trio.lowlevel.checkpoint()
        fault = self.faults[peer]
        if fault is None:
            await trio.sleep_forever()
        if isinstance(fault, Exception):
            raise fault
        return Reply(fault, 1)


class Book(StoredReceipts):
    """Receipts on a disk that a test can break."""

    broken = False

    async def keep(self, receipt: KeptReceipt) -> None:
        if self.broken:
            raise BookError("the disk is full", "free some space")
        await super().keep(receipt)


@dataclass
class DoorBench:
    """The door of the first peer of a world."""

    world: World
    door: Door
    network: MeshNetwork
    book: Book
    engines: dict[bytes, GatedToy]
    own: bytes
    now: int = 0
    drivers: dict[bytes, Driver] = field(default_factory=dict)
    versions: dict[bytes, GatedToy] = field(default_factory=dict)  # the engines of the later version

    @property
    def others(self) -> list[bytes]:
        return [key for key in self.engines if key != self.own]

    def lies(self, *peers: bytes) -> None:
        """Have peers answer with another model. Each gives a wrong answer of its own."""
        for number, peer in enumerate(peers):
            self.engines[peer]._weights = bytes([number]) * 32


@asynccontextmanager
async def open_door(
    folder: Path,
    world: World | None = None,
    *,
    referee: bool = False,
    audit_rate: float = 0.0,
    listed: Sequence[Manifest] = (),
    open_language: OpenLanguage = lambda _: toy_language(),
) -> AsyncIterator[DoorBench]:
    """A world in which peers have earned their standings, and the running door of its first peer.

    With `referee` this peer can judge answers of other classes. It audits the share `audit_rate` of its receipts.
    `listed` are the models of its network file.
    """
    world = world or grown_world()
    keys = [peer.machine.key for peer in world.peers]
    engines = {key: GatedToy() for key in keys}
    book = Book(folder / "clients.db")
    bench = DoorBench(world, None, None, book, engines, keys[0], world.now_ms)  # type: ignore[arg-type]
    judge = ToyEngine(path=REFEREE_PATH, engine=REFEREE)
    bench.versions = {key: GatedToy() for key in keys}
    for engine in bench.versions.values():
        engine._weights = LATER
    drivers = {
        peer.machine.key: Driver(
            peer.machine,
            FakeJournal(),
            engines[peer.machine.key],
            open_referee=(lambda: judge) if referee else None,
            open_version=partial(_later, bench.versions[peer.machine.key]),
            clock=lambda: bench.now,
        )
        for peer in world.peers
    }
    bench.drivers = drivers
    neighbours = tuple(Neighbour(key, "a", outbound=True, in_mesh=True) for key in keys[1:])
    bench.network = MeshNetwork(peers=neighbours, own=keys[0], drivers=drivers)
    own = drivers[keys[0]]
    auditor = Auditor(own, book, StoredAudits(folder / "clients.db"), audit_rate)
    bench.door = Door(
        *(own, bench.network, MANIFEST, engines[keys[0]].info, open_language, book, random.Random(1)),
        listed=listed,
        auditor=auditor,
    )
    async with trio.open_nursery() as nursery:
        for driver in drivers.values():
            await nursery.start(driver.run, FakeNetwork())
        await nursery.start(bench.door.run)
        yield bench
        nursery.cancel_scope.cancel()


def _later(engine: GatedToy, _role: str, _model: bytes) -> GatedToy:
    return engine


def own_view(machine: Machine) -> ModelView:
    """The peers that serve the model of a machine, in its newest final view."""
    view = NodeView(machine)
    return ModelView(view, view.own_manifest)


def grown_world(count: int = 5, classes: int = 1, epochs: int = EPOCHS, **options: Any) -> World:
    """Peers that have audited each other for some time. `options` are those of `make_world`."""
    world = make_world(count, slots_milli=3000, classes=classes, **options)
    world.run_epochs(epochs)
    return world


def shrink_context(monkeypatch: pytest.MonkeyPatch, machine: Machine, tokens: int) -> None:
    """Let a peer's engine hold so many tokens, until the end of the test."""
    held = machine.context.held
    for digest, model in list(held.items()):
        monkeypatch.setitem(held, digest, replace(model, context_tokens=tokens))
