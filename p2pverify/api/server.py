"""The local API's server as a whole: a loopback listener, the middleware and the routes.

Routes are in `app`, the checks of requests in `middleware`, the socket in `bind`, and connections in `connections`.
"""

from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pverify.api.app import ROUTES, new_app
from p2pverify.api.bind import open_listener
from p2pverify.api.connections import serve_connections
from p2pverify.api.metrics import Counts, new_registry
from p2pverify.api.middleware import Gate, allowed_hosts
from p2pverify.node.endpoints.loopback import parse_bind
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
    task_status: "TaskStatus[str]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API until cancelled. Reports the URL ("http://127.0.0.1:4100") once it listens.

    Raises ValueError for an address that is not loopback, and BindError for an address that is not free.
    """
    assert len(token) >= _TOKEN_CHARS_MIN
    counts = Counts()
    registry = new_registry(reports, counts)
    app = new_app(reports, registry, token=token, orders=orders)
    listener, bound = open_listener(parse_bind(bind))
    gate = Gate(app, hosts=allowed_hosts(bound.port), routes=ROUTES, counts=counts, home_key=home_key)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_connections, listener, gate, counts))
        task_status.started(bound.url)
