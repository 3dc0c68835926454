"""The API's connections: anycorn speaks HTTP on each, and an error on one does not affect the others.

anycorn's own `serve` is not used, because an exception in one connection ends it, and any client can cause such an
exception (anycorn 0.20.1: a request to upgrade to h2c with malformed HTTP2-Settings). The ASGI application answers the
requests.
"""

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import trio
from anycorn import Config
from anycorn.app_wrappers import ASGIWrapper
from anycorn.tcp_server import tcp_server_handler
from anycorn.typing import ASGIFramework, ConnectionState
from anycorn.worker_context import WorkerContext
from anyio.abc import SocketStream
from starlette.types import ASGIApp

from p2pverify.api.metrics import Counts

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

CONNECTIONS_MAX = 64
DRAIN_S = 1.0  # time for pending answers after the server stops
IDLE_S = 10  # connections that are silent for this time are closed

_Handler = Callable[[SocketStream], Awaitable[None]]
_log = logging.getLogger("p2pverify.api")


async def serve_connections(
    listener: socket.socket,
    app: ASGIApp,
    counts: Counts,
    *,
    task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; pending answers then have DRAIN_S seconds. Closes the bound `listener`."""
    context = WorkerContext(None)
    server = _Server(tcp_server_handler(_wrapped(app), _config(), context, ConnectionState({})), counts)
    listener.listen(CONNECTIONS_MAX)
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    async with trio.open_nursery() as nursery:
        try:
            task_status.started()
            await trio.serve_listeners(server.handle, listeners, handler_nursery=nursery)
        finally:
            await context.terminated.set()  # idle connections end at once
            server.stop()


class _Server:
    """Runs a handler for each connection, shielded from the server's cancellation, and catches its exceptions."""

    def __init__(self, handler: _Handler, counts: Counts) -> None:
        self._handler = handler
        self._counts = counts
        self._scopes: set[trio.CancelScope] = set()
        self._stopping = False

    def stop(self) -> None:
        """Accept no more connections, and close the open ones after DRAIN_S seconds."""
        self._stopping = True
        for scope in self._scopes:
            scope.deadline = trio.current_time() + DRAIN_S

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; never raises an Exception."""
        if self._stopping or len(self._scopes) >= CONNECTIONS_MAX:
            self._counts.count_connection("refused")
            await trio.aclose_forcefully(stream)
            return
        raw = socket.socket(fileno=stream.socket.detach())
        end = "served"
        with trio.CancelScope(shield=True) as scope:
            self._scopes.add(scope)
            try:
                await self._handler(await SocketStream.from_socket(raw))
            except* Exception as group:  # noqa: BLE001 - any client can cause one, and the node must live on
                end = "failed"
                _log.debug("a connection to the API failed: %r", group)
            finally:
                self._scopes.discard(scope)
                raw.close()
        self._counts.count_connection(end)


def _wrapped(app: ASGIApp) -> ASGIWrapper:
    return ASGIWrapper(cast("ASGIFramework", app))


def _config() -> Config:
    log = logging.getLogger("p2pverify.api.http")
    log.setLevel(logging.ERROR)
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.read_timeout = IDLE_S
    config.keep_alive_timeout = IDLE_S
    return config
