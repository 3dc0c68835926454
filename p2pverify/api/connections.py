"""The API's connections: anycorn speaks HTTP on each, and an error on one does not affect the others.

anycorn's own `serve` is not used, because an exception in one connection ends it, and any client can cause such an
exception (anycorn 0.20.1: a request to upgrade to h2c with malformed HTTP2-Settings). The ASGI application answers the
requests. When all places are taken, a new connection gets the place of the oldest one that has no request.
"""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import trio
from anycorn import Config
from anycorn.app_wrappers import ASGIWrapper
from anycorn.tcp_server import tcp_server_handler
from anycorn.typing import ASGIFramework, ConnectionState
from anycorn.worker_context import WorkerContext
from anyio.abc import SocketStream
from starlette.types import ASGIApp, Receive, Scope, Send

from p2pverify.api.metrics import Counts
from p2pverify.node.endpoints.accepting import PatientListener

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

CONNECTIONS_MAX = 128
BACKLOG = 1024  # connections that wait to be accepted
DRAIN_S = 1.0  # time for pending answers after the server stops
IDLE_S = 10  # connections without a complete head of a request are closed after this time

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
    server = _Server(tcp_server_handler(_wrapped(_counted(app)), _config(), context, ConnectionState({})), counts)
    listener.listen(BACKLOG)
    plain = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    listeners = [PatientListener(plain, lambda: counts.count_connection("delayed"))]
    async with trio.open_nursery() as nursery:
        try:
            task_status.started()
            await trio.serve_listeners(server.handle, listeners, handler_nursery=nursery)
        finally:
            await context.terminated.set()  # idle connections end at once
            server.stop()


@dataclass(slots=True, eq=False)
class _Connection:
    """An open connection. `requests` counts those that are being answered."""

    scope: trio.CancelScope = field(default_factory=lambda: trio.CancelScope(shield=True))
    requests: int = 0


_current: ContextVar[_Connection] = ContextVar("_current")


class _Server:
    """Runs a handler for each connection, shielded from the server's cancellation, and catches its exceptions."""

    def __init__(self, handler: _Handler, counts: Counts) -> None:
        self._handler = handler
        self._counts = counts
        self._open: dict[_Connection, None] = {}  # the oldest first
        self._stopping = False

    def stop(self) -> None:
        """Accept no more connections, and close the open ones after DRAIN_S seconds."""
        self._stopping = True
        for connection in self._open:
            connection.scope.deadline = trio.current_time() + DRAIN_S

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; never raises an Exception."""
        if self._stopping or not self._make_room():
            self._counts.count_connection("refused")
            await trio.aclose_forcefully(stream)
            return
        raw = socket.socket(fileno=stream.socket.detach())
        end = "served"
        connection = _Connection()
        _current.set(connection)
        self._open[connection] = None
        with connection.scope:
            try:
                await self._handler(await SocketStream.from_socket(raw))
            except* Exception as group:  # noqa: BLE001 - any client can cause one, and the node must live on
                end = "failed"
                _log.debug("a connection to the API failed: %r", group)
            finally:
                self._open.pop(connection, None)
                raw.close()
        self._counts.count_connection(end)

    def _make_room(self) -> bool:
        """Whether there is a place for one more. If there is none, the oldest connection without a request ends."""
        if len(self._open) < CONNECTIONS_MAX:
            return True
        idle = next((connection for connection in self._open if not connection.requests), None)
        if idle is None:
            return False
        del self._open[idle]
        idle.scope.cancel()
        self._counts.count_connection("evicted")
        return True


def _counted(app: ASGIApp) -> ASGIApp:
    """The application, with its requests counted at their connections."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        connection = _current.get()
        connection.requests += 1
        try:
            await app(scope, receive, send)
        finally:
            connection.requests -= 1

    return counted


def _wrapped(app: ASGIApp) -> ASGIWrapper:
    return ASGIWrapper(cast("ASGIFramework", app))


def _config() -> Config:
    log = logging.getLogger("p2pverify.api.http")
    log.setLevel(logging.ERROR)
    config = Config()
    config.accesslog = None
    config.errorlog = log
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_S
    # There is no limit on the time in which a client sends nothing, because it may be waiting for an answer. Routes
    # that read a body limit its time.
    config.read_timeout = None
    return config
