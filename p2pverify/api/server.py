"""The servers of the API as a whole: a listener, the middleware and the routes.

`serve` is the local API, on loopback. `serve_gateway` serves clients with keys, at any address. Routes are in `app` and
`openai`, the checks of requests in `middleware`, the socket in `bind`, and connections in `connections`.
"""

from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pverify.api.app import ROUTES, new_app
from p2pverify.api.bind import open_listener
from p2pverify.api.connections import serve_connections
from p2pverify.api.metrics import Counts, new_registry
from p2pverify.api.middleware import Gate, allowed_hosts
from p2pverify.api.openai.app import OPENAI_ROUTES, key_guard, local_guard, new_gateway
from p2pverify.api.rules import RouteRule
from p2pverify.node.clients.book import KeyRing
from p2pverify.node.clients.door import Door
from p2pverify.node.endpoints.loopback import parse_bind, parse_gateway
from p2pverify.node.ports import Orders, Reports

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

_TOKEN_CHARS_MIN = 32


async def serve(
    reports: Reports,
    *,
    bind: str,
    token: str,
    home_key: bytes,
    orders: Orders,
    door: Door | None = None,
    keys: KeyRing | None = None,
    counts: Counts | None = None,
    task_status: "TaskStatus[str]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the local API until cancelled. Reports the URL ("http://127.0.0.1:4100") once it listens.

    With a `door` it also serves clients; they need one of the `keys` if these are given. Raises ValueError for an
    address that is not loopback, and BindError for an address that is not free.
    """
    assert len(token) >= _TOKEN_CHARS_MIN
    counts = counts or Counts()
    registry = new_registry(reports, counts)
    guard = local_guard() if keys is None else key_guard(keys, token)
    app = new_app(reports, registry, token=token, orders=orders, door=door, guard=guard)
    routes = ROUTES if door is None else {**ROUTES, **OPENAI_ROUTES}
    listener, bound = open_listener(parse_bind(bind))
    gate = Gate(app, hosts=allowed_hosts(bound.port), routes=routes, counts=counts, home_key=home_key)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_connections, listener, gate, counts))
        task_status.started(bound.url)


async def serve_gateway(
    door: Door,
    keys: KeyRing,
    *,
    bind: str,
    counts: Counts | None = None,
    task_status: "TaskStatus[str]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve clients that have keys, and nobody else, until cancelled. Reports the URL once it listens.

    Raises ValueError for text that is no address, and BindError for an address that is not free.
    """
    counts = counts or Counts()
    app = new_gateway(door, key_guard(keys))
    listener, bound = open_listener(parse_gateway(bind), option="--gateway")
    elsewhere = RouteRule(is_openai=True)
    gate = Gate(app, hosts=None, routes=OPENAI_ROUTES, counts=counts, home_key=None, elsewhere=elsewhere)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_connections, listener, gate, counts))
        task_status.started(bound.url)
