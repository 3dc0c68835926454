"""Relays in front of the peers of a testnet: TCP forwarders that can stop passing bytes between two sides.

Every peer has its own loopback address and dials from it, so a relay knows the caller. A partition does not close
connections: the bytes wait, as on a broken line, and go on when the partition ends. Relays do not read the bytes.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p's stubs hide trio's own name

_CHUNK_BYTES = 65_536
_CONNECTIONS_MAX = 4096


class Relays:
    """Forwarders by peer name. `hosts` has the loopback address of each peer."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._hosts = dict(hosts)
        self._names = {host: name for name, host in hosts.items()}
        self._cuts: list[frozenset[str]] = []
        self._healed = trio.Event()
        self._limiter = trio.CapacityLimiter(_CONNECTIONS_MAX)

    def cut(self, side: Iterable[str]) -> frozenset[str]:
        """Start a partition between these peers and all others. Returns the argument for `heal`."""
        found = frozenset(side)
        self._cuts.append(found)
        return found

    def heal(self, side: frozenset[str]) -> None:
        """End the partition of one `cut`."""
        self._cuts.remove(side)
        self._healed.set()
        self._healed = trio.Event()

    async def serve(
        self, name: str, port: int, target: int, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Forward from `port` of a peer's address to the port `target` where it listens, until cancelled."""
        host = self._hosts[name]
        listeners = await trio.open_tcp_listeners(port, host=host)

        async def forward(caller: trio.SocketStream) -> None:
            await self._forward(caller, name, host, target)

        task_status.started()
        await trio.serve_listeners(forward, listeners)

    async def _forward(self, caller: trio.SocketStream, name: str, host: str, target: int) -> None:
        source = str(caller.socket.getpeername()[0])
        other = self._names.get(source, name)
        async with self._limiter, caller:
            try:
                await self._passable(name, other)
                callee = await trio.open_tcp_stream(host, target, local_address=source)
            except OSError:
                return  # the peer is down
            async with callee, trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, caller, callee, name, other, nursery.cancel_scope)
                nursery.start_soon(self._pump, callee, caller, name, other, nursery.cancel_scope)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, name: str, other: str, ending: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK_BYTES):
                await self._passable(name, other)
                await sink.send_all(data)
            await self._passable(name, other)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            ending.cancel()

    async def _passable(self, one: str, two: str) -> None:
        while any((one in side) != (two in side) for side in self._cuts):
            await self._healed.wait()
