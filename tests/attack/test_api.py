"""Attacks on the local API of a node that takes part in its network."""

import os
from urllib.parse import urlsplit

import pytest
import trio

from p2pverify.api import connections
from tests.api.fakes import request
from tests.attack.enemy import drain
from tests.attack.live import PATIENCE_S, Live

REQUESTS = {
    "random bytes": os.urandom(5000),
    "endless header": b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 100_000,
    "foreign host": b"GET /v1/status HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "upgrade to h2c": b"GET /livez HTTP/1.1\r\nHost: localhost:PORT\r\nUpgrade: h2c\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA\r\n\r\n" + bytes(64),
    "body without end": b"POST /v1/leave HTTP/1.1\r\nHost: localhost:PORT\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"fff\r\n" + b"x" * 4095 + b"\r\n" * 50,
    "guessed token": b"POST /v1/leave HTTP/1.1\r\nHost: localhost:PORT\r\nAuthorization: Bearer "
    + b"5e" * 32
    + b"\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's timeout for silent clients is shorter here."""
    monkeypatch.setattr(connections, "IDLE_S", 2)


async def connect(live: Live) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port_of(live))


def port_of(live: Live) -> int:
    port = urlsplit(live.node.running.api).port
    assert port is not None
    return port


async def fill(live: Live) -> list[trio.SocketStream]:
    """Take all places of the API, and check that further clients get those of the oldest silent ones."""
    idle = [await connect(live) for _ in range(connections.CONNECTIONS_MAX + 10)]
    for connection in idle[:10]:
        await drain(connection)
    return idle


@pytest.mark.parametrize("name", REQUESTS)
async def test_requests_that_are_none(live: Live, name: str) -> None:
    """For any input, the API reveals and changes nothing, and the node does not leave its network."""
    with trio.fail_after(PATIENCE_S):
        connection = await connect(live)
        try:
            await connection.send_all(REQUESTS[name].replace(b"PORT", str(port_of(live)).encode()))
            await connection.send_eof()
        except trio.BrokenResourceError:
            pass
        said = await drain(connection)
        await connection.aclose()
    assert live.node.running.peer_id.encode() not in said
    await live.survives()
    assert not live.node.context.is_leaving


async def test_connections_that_say_nothing(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """If silent connections take all places of the API, the oldest of them end. Peers are served as before."""
    monkeypatch.setattr(connections, "IDLE_S", 6)  # longer than it takes to open them all on a busy machine
    with trio.fail_after(PATIENCE_S):
        idle = await fill(live)
        await live.answers()
        for connection in idle:  # silent connections are closed
            await drain(connection)
            await connection.aclose()
    await live.survives()
    metrics = await trio.to_thread.run_sync(request, port_of(live), "/metrics")
    assert b'p2pverify_api_connections_total{end="evicted"}' in metrics.body
