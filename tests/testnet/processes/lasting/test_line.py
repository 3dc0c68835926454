"""A slow line passes all bytes, in both directions, and no faster than it says."""

from typing import TYPE_CHECKING

import trio
import trio.testing

from p2pverify.testnet.processes.lasting.line import serve_slowly

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # libp2p's stubs hide trio's own name

HOST = "127.0.0.1"
BYTES = 4096
BYTES_PER_S = 512


def test_bytes_come_slowly_and_whole() -> None:
    """In virtual time the answer takes as long as its chunks, and the request does not."""
    clock = trio.testing.MockClock(autojump_threshold=0.05)

    async def main() -> float:
        async def serve(stream: trio.SocketStream) -> None:
            asked = await stream.receive_some(BYTES)
            await stream.send_all(asked * (BYTES // len(asked)))

        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=HOST)
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            target = listeners[0].socket.getsockname()[1]

            async def line(task_status: "TaskStatus[int]" = trio.TASK_STATUS_IGNORED) -> None:
                await serve_slowly(HOST, target, bytes_per_s=BYTES_PER_S, task_status=task_status)

            port = await nursery.start(line)
            stream = await trio.open_tcp_stream(HOST, port)
            began = trio.current_time()
            await stream.send_all(bytes(range(64)))
            got = b"".join([data async for data in stream])
            assert got == bytes(range(64)) * (BYTES // 64)
            nursery.cancel_scope.cancel()
        return trio.current_time() - began

    seconds = trio.run(main, clock=clock)
    assert BYTES / BYTES_PER_S <= seconds < 2 * BYTES / BYTES_PER_S


def test_a_peer_that_is_down_ends_the_connection() -> None:
    """The caller sees its end, as if it had dialled the peer itself."""

    async def main() -> bytes:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host=HOST)
            target = listener.socket.getsockname()[1]
            await listener.aclose()

            async def line(task_status: "TaskStatus[int]" = trio.TASK_STATUS_IGNORED) -> None:
                await serve_slowly(HOST, target, bytes_per_s=BYTES_PER_S, task_status=task_status)

            stream = await trio.open_tcp_stream(HOST, await nursery.start(line))
            got = await stream.receive_some(1)
            nursery.cancel_scope.cancel()
        return bytes(got)

    assert trio.run(main) == b""
