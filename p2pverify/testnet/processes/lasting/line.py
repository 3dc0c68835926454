"""A slow line to one peer: a TCP forwarder that passes few bytes a second to those who dial it.

On a fast line a newcomer has a small state before anybody could kill it in the middle.
"""

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p's stubs hide trio's own name

_CHUNK_BYTES = 512


async def serve_slowly(
    host: str, target: int, *, bytes_per_s: int, task_status: "TaskStatus[int]" = trio.TASK_STATUS_IGNORED
) -> None:
    """Forward to the port `target` of a loopback address until cancelled. Starts with the port at which it listens."""
    listeners = await trio.open_tcp_listeners(0, host=host)

    async def forward(caller: trio.SocketStream) -> None:
        async with caller:
            try:
                callee = await trio.open_tcp_stream(host, target)
            except OSError:
                return  # the peer is down
            async with callee, trio.open_nursery() as nursery:
                nursery.start_soon(_pump, caller, callee, 0.0, nursery.cancel_scope)
                nursery.start_soon(_pump, callee, caller, _CHUNK_BYTES / bytes_per_s, nursery.cancel_scope)

    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(forward, listeners)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, pause_s: float, ending: trio.CancelScope) -> None:
    """Pass bytes on in one direction, with a pause after each chunk. The end of one direction ends both."""
    try:
        while data := await source.receive_some(_CHUNK_BYTES):
            await sink.send_all(data)
            await trio.sleep(pause_s)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    ending.cancel()
