"""A whole node under attack, an honest neighbour, and the check after every attack that both still work.

The victim is `app.run_node`, as in `p2pverify join`: libp2p on loopback, a database, the toy engine, the local API. The
neighbour is another such node. Both sign, cut and gossip during the attack. No part of them is replaced.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from p2pverify import app
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.encoding.vrf import derive_seed
from p2pverify.core.encoding.vrf import public_key as vrf_key
from p2pverify.core.inference.question import Question, Request, decode_response, encode_request, sign_request
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.roles.context import Context
from p2pverify.engine.engines import EngineSettings
from p2pverify.engine.toy import ToyEngine
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.node.clock import unix_ms
from p2pverify.node.driver import Driver
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import new_network
from p2pverify.node.messages import encode_batches
from p2pverify.node.ports import AskError
from p2pverify.node.reports.overview import NodeReports
from tests.api.fakes import request

EPOCH_MS = 1000
PAST_EPOCHS = 2000  # the network's age in epochs when a test begins, so that there is a far past
PATIENCE_S = 20.0
LOOK_S = 0.02  # seconds between two readings of a figure without notifications
LINK_TASKS = 12  # the most tasks for one more connection of an honest neighbour


async def until(holds: Callable[[], bool], what: str, seen: Callable[[], object] = str) -> None:
    """Wait until `holds` is true. After the patience it fails with `what` and the result of `seen`."""
    with trio.move_on_after(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # a counter announces nothing
            await trio.sleep(LOOK_S)
        return
    raise AssertionError(f"in {PATIENCE_S:.0f} s it did not come to this: {what}; {seen()}")


@dataclass
class Node:
    """A running node, with read access to its internal state. All changes go through its sockets."""

    running: app.Running
    driver: Driver
    mesh: Libp2pNetwork
    reports: NodeReports

    @property
    def address(self) -> str:
        return self.running.addresses[0]

    @property
    def key(self) -> bytes:
        return self.mesh.peer

    @property
    def context(self) -> Context:
        return self.driver.machine.context

    @property
    def epoch(self) -> int:
        return self.context.params.epoch_at(unix_ms())

    @property
    def protocols(self) -> tuple[str, ...]:
        """All protocols of the node."""
        return self.mesh._host.protocols

    def count(self, name: str) -> int:
        """A figure of `/metrics`. A name that ends with `*` gives the sum of several."""
        figures = self.reports.figures()
        if name.endswith("*"):
            return sum(number for key, number in figures.items() if key.startswith(name[:-1]))
        return figures.get(name, 0)

    def get(self, path: str) -> dict[str, Any]:
        """The local API's answer. Blocks."""
        port = urlsplit(self.running.api).port
        assert port is not None
        reply = request(port, path)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)


class Author:
    """A key that writes records: honest ones that must spread, and others."""

    def __init__(self, network_id: bytes, name: str) -> None:
        self.seed = hashlib.sha256(name.encode()).digest()
        self.key = sign.public_key(self.seed)
        self._network_id = network_id
        self.head: Record | None = None

    def record(self, kind: Kind, payload: bytes, epoch: int, *, again: bool = False) -> Record:
        """The author's next record. With `again`, another record with the number of the last one: a fork."""
        before = self.head
        if again and before is not None:
            seq, prev = before.seq, before.header.prev
        else:
            seq, prev = (0, NO_PREV) if before is None else (before.seq + 1, before.id)
        made = make_record(
            self.seed, self.key, self._network_id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
        )
        self.head = made
        return made

    def join(self, epoch: int) -> Record:
        return self.record(Kind.JOIN, Join(0, vrf_key(derive_seed(self.seed))).encode(), epoch)

    def any(self, epoch: int) -> Record:
        """A small valid record: the author joins, and then signs cuts that no peer has seen."""
        if self.head is None:
            return self.join(epoch)
        return self.record(Kind.CUT_SIGNATURE, encode([sha256(self.head.id)]), epoch)

    def log(self, count: int, epoch: int) -> list[Record]:
        """Many such records, dated evenly from the last one's epoch to this one, because an epoch holds a limited
        number."""
        first = epoch if self.head is None else self.head.epoch
        return [self.any(first + (epoch - first + 1) * place // count) for place in range(count)]


@dataclass(frozen=True)
class Footprint:
    """The figures that grow with a leak."""

    links: int
    tasks: int
    files: int


class Live:
    """The victim, its neighbour, and the state before the attack."""

    def __init__(self, node: Node, neighbour: Node, caplog: pytest.LogCaptureFixture) -> None:
        self.node = node
        self.neighbour = neighbour
        self._caplog = caplog
        self._authors = 0
        self._calm = Footprint(0, 0, 0)

    async def settle(self) -> None:
        """Wait until both nodes know each other, and note the state."""
        await self.neighbour.mesh.wait_gossiping(self.node.key)
        await self.node.mesh.wait_gossiping(self.neighbour.key)
        await self.is_well()
        self._calm = self._footprint()

    def new_author(self) -> Author:
        self._authors += 1
        return Author(self.node.context.network_id, f"author {self._authors}")

    async def survives(self, *moved: str, logged: str = "") -> None:
        """Check after the attack that each counter in `moved` has grown, that the node works, and that nothing is left
        of the attack."""
        for name in moved:
            await until(partial(self._has_counted, name), f"{name} is counted", self.node.reports.figures)
        await self.is_well()
        await until(self._is_calm, f"back to {self._calm}", self._footprint)
        assert not list(self._complaints())
        if logged:
            assert logged in self._caplog.text

    async def is_well(self) -> None:
        """Check that an honest neighbour's question is answered, its record arrives, and the local API shows this."""
        with trio.fail_after(PATIENCE_S):
            await self.answers()
            await self.spread(self.new_author().join(self.neighbour.epoch))
            status = await trio.to_thread.run_sync(self.node.get, "/v1/status")
        assert 0 < int(str(status["records"])) <= len(self.node.context.ledger)

    async def spread(self, record: Record) -> None:
        """The neighbour gossips a record, and the node takes it."""
        for message in encode_batches([record.data]):
            self.neighbour.mesh.publish_nowait(message)
        await until(lambda: record.id in self.node.context.ledger, "a record of the neighbour arrives")

    async def admit(self, author: Author) -> None:
        """Make an author a member, because more records are held of members than of others."""
        await self.spread(author.join(self.neighbour.epoch))
        members = self.node.driver.machine.fold
        await until(lambda: author.key in members.latest.members, "the author is a member")

    async def answers(self) -> None:
        """The neighbour asks questions until one is answered in time, and that answer is right.

        A slow machine under attack drops what would come too late, and says so.
        """
        asker = self.neighbour.context
        question = Question(asker.network.classes[0].manifest, (1, 2, 3), 4, 0, os.urandom(16), asker.key)
        with trio.fail_after(PATIENCE_S):
            while True:
                epoch = self.neighbour.epoch
                asked = Request(asker.network_id, asker.key, self.node.key, question.id, os.urandom(32), epoch + 8)
                data = encode_request(asked, question, sign_request(asker.seed, asked))
                try:
                    reply = await self.neighbour.mesh.ask(self.node.key, data, tokens_max=question.tokens_max)
                except AskError as refused:
                    if refused.reason != "timeout":
                        raise
                    continue
                break
        answer = decode_response(reply.data, asked)
        assert 1 <= len(answer.output.tokens) <= 4

    def _has_counted(self, name: str) -> bool:
        return self.node.count(name) > 0

    def _footprint(self) -> Footprint:
        tasks = trio.lowlevel.current_statistics().tasks_living
        return Footprint(self.node.count("net links"), tasks, len(list(Path("/proc/self/fd").iterdir())))

    def _is_calm(self) -> bool:
        now, calm = self._footprint(), self._calm
        return now.links <= calm.links and now.tasks <= calm.tasks + LINK_TASKS and now.files <= calm.files + 2

    def _complaints(self) -> Iterator[str]:
        """Log messages that must not appear for any input from other peers."""
        for entry in self._caplog.records:
            if entry.levelno >= logging.ERROR or entry.exc_info:
                yield entry.getMessage()


async def start_node(
    nursery: trio.Nursery, home: Home, network: tuple, monkeypatch: pytest.MonkeyPatch, *bootstrap: str
) -> Node:
    """A node started like the program. Its parts are captured where `app` assembles them."""
    caught: list[tuple[Driver, Libp2pNetwork, NodeReports]] = []

    class Caught(NodeReports):
        def __init__(self, driver: Driver, mesh: Libp2pNetwork, *others: Any) -> None:
            super().__init__(driver, mesh, *others)
            caught.append((driver, mesh, self))

    monkeypatch.setattr(app, "NodeReports", Caught)
    definition, manifests = network
    engine = EngineSettings("toy")
    settings = app.NodeSettings(home, definition, manifests, engine, bootstrap=bootstrap, alone=not bootstrap)
    running = await nursery.start(app.run_node, settings)
    return Node(running, *caught[0])


async def start_both(
    nursery: trio.Nursery, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Live:
    """The victim, the only founder of its network, and a neighbour that joined."""
    homes = [Home(directory / name) for name in ("victim", "neighbour")]
    for home in homes:
        home.init()
    founders = [sign.public_key(homes[0].load_identity())]
    began = unix_ms() - PAST_EPOCHS * EPOCH_MS
    network = new_network("attacked", founders, ToyEngine().info, genesis_ms=began, epoch_ms=EPOCH_MS)
    node = await start_node(nursery, homes[0], network, monkeypatch)
    neighbour = await start_node(nursery, homes[1], network, monkeypatch, node.address)
    live = Live(node, neighbour, caplog)
    await live.settle()
    return live
