"""A home whose node answers clients over sockets: a real door and real reports, with real peers behind them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import trio

from p2pverify.api.server import serve, serve_gateway
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network
from p2pverify.node.reports.overview import NodeReports
from p2pverify.store.clients.keys import StoredKeys
from p2pverify.testnet.world.world import CONTEXT_TOKENS
from tests.api.fakes import NoOrders
from tests.node.fakes import FakeJournal
from tests.support.doors import EPOCHS, DoorBench, open_door
from tests.support.toyworld import ToyWorld

T = TypeVar("T")
BACKENDS = ("trio", "asyncio")


@dataclass
class ServedHome:
    """The home of a running node, the node, and its gateway for clients with keys."""

    home: Home
    bench: DoorBench
    url: str
    gateway: str
    keys: StoredKeys

    @property
    def path(self) -> Path:
        return self.home.path

    async def no_orders(self) -> None:
        """Wait until no order is being answered."""
        while self.bench.door._open:  # noqa: ASYNC110 - the door tells nobody
            await trio.sleep(0.01)


def grown_toys() -> ToyWorld:
    """Five peers with the toy engine that have audited each other for some time."""
    world = ToyWorld(5, seed=3, slots_milli=3000)
    world.run_epochs(EPOCHS)
    return world


@asynccontextmanager
async def serving(folder: Path, world: ToyWorld) -> AsyncIterator[ServedHome]:
    """The node of the world's first peer, in a home of its own."""
    home = Home(folder / "home")
    home.init()
    token = home.ensure_token()
    home.network_path.write_text(dump_network(world.network, (world.manifest,)))
    key = home.key()
    assert key is not None
    keys = StoredKeys(folder / "clients.db")
    async with open_door(folder, world.world) as bench, trio.open_nursery() as nursery:
        driver = bench.network.drivers[bench.own]
        info = bench.door.own.info
        assert info is not None
        room = replace(info, context_tokens=CONTEXT_TOKENS)  # as the other peers' engines have it
        bench.door.own.info = room
        reports = NodeReports(driver, bench.network, FakeJournal(), bench.engines[bench.own].info, door=bench.door)
        local = partial(serve, reports, token=token, home_key=key, orders=NoOrders(), door=bench.door)
        url = await nursery.start(partial(local, bind="127.0.0.1:0"))
        gateway = await nursery.start(partial(serve_gateway, bench.door, keys, bind="127.0.0.1:0"))
        home.write_api(url)
        yield ServedHome(home, bench, url, gateway, keys)
        nursery.cancel_scope.cancel()


async def on(backend: str, do: Callable[[], Awaitable[T]]) -> T:
    """Run async code on trio here, or on asyncio in a thread."""
    if backend == "trio":
        return await do()
    return await in_thread(partial(anyio.run, do, backend="asyncio"))


async def in_thread(do: Callable[[], T]) -> T:
    """Run code in a thread, so that the node goes on."""
    return await trio.to_thread.run_sync(do, abandon_on_cancel=True)  # type: ignore[call-arg]
