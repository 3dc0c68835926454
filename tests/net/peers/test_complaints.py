"""The log tells the operator about a bootstrap address that does not lead to its peer."""

import logging
import socket

import pytest
import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.net.peers import complaints
from p2pverify.net.peers.complaints import AGAIN_S_MIN, PATIENCE_S, Complaints
from p2pverify.node.endpoints.address import parse_address
from tests.net.real_peers import join, seed_of, stranger

HINT = "see that its node runs, and that the address is right"
GONE = parse_address("/ip4/192.0.2.1/tcp/4747")
OTHER = parse_address("/ip4/192.0.2.2/tcp/4747")


@pytest.fixture
def said(caplog):
    """The lines of the log, with their levels."""
    caplog.set_level(logging.INFO, logger="p2pverify.net.peers.complaints")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_it_is_said_soon_then_rarely_and_in_the_end(said):
    """There is no line within the patience, then lines at doubling intervals, and one line when the address answers."""
    told = Complaints([GONE])
    lines = []
    for second in range(1000):
        told.failed(GONE, "nobody there", float(second))
        if len(said()) > len(lines):
            lines.append(second)
    first = int(PATIENCE_S)
    assert lines == [
        first,
        first + AGAIN_S_MIN,
        first + 3 * AGAIN_S_MIN,
        first + 7 * AGAIN_S_MIN,
        first + 15 * AGAIN_S_MIN,
    ]
    assert said()[0] == (
        "WARNING",
        f"bootstrap {GONE} cannot be reached for 3 s: nobody there; {HINT}",
    )
    told.reached(GONE)
    assert said()[-1] == ("INFO", f"bootstrap {GONE} answers now")
    told.failed(GONE, "nobody there", 2000.0)
    assert len(said()) == len(lines) + 1  # the patience starts again


def test_addresses_of_hearsay_and_short_troubles_are_not_said(said):
    """Addresses from other peers are not reported, and neither are addresses that work within the patience."""
    told = Complaints([GONE])
    for second in range(100):
        told.failed(OTHER, "nobody there", float(second))
    told.failed(GONE, "nobody there", 0.0)
    told.reached(GONE)
    told.reached(OTHER)
    assert said() == []


class News(logging.Handler):
    """Wakes a task that waits for a line of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._came = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._came.set()
        self._came = trio.Event()

    async def wait(self) -> None:
        await self._came.wait()


@pytest.fixture
def news():
    handler = News()
    complaints.log.addHandler(handler)
    yield handler
    complaints.log.removeHandler(handler)


async def test_each_way_of_being_wrong_is_named(nursery, said, news, monkeypatch):
    """A port without a node, another peer's id, a server that is no peer and an unknown name each give a line."""
    monkeypatch.setattr(complaints, "PATIENCE_S", 0.0)
    with trio.fail_after(30), socket.socket() as unused, socket.create_server(("127.0.0.1", 0)) as web:
        unused.bind(("127.0.0.1", 0))
        dead = f"/ip4/127.0.0.1/tcp/{unused.getsockname()[1]}"
        other = await stranger(nursery)
        mistaken = str(other.addresses[0].with_peer(public_key(seed_of("expected"))))
        no_peer = f"/ip4/127.0.0.1/tcp/{web.getsockname()[1]}"
        nowhere = "/dns4/no-such-host.invalid/tcp/4747"

        def answer_as_web() -> None:
            with web.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        nursery.start_soon(trio.to_thread.run_sync, answer_as_web)
        alice = await join(nursery, "alice", dead, mistaken, no_peer, nowhere)
        addresses = (dead, mistaken, no_peer, nowhere)
        while not all(any(address in text for _, text in said()) for address in addresses):
            await news.wait()
        texts = {address: next(text for _, text in said() if address in text) for address in addresses}
        assert f"another peer answers at this address, {peer_id(other.peer)}" in texts[mistaken]
        assert all("see that its node runs" in text for text in texts.values())
        await alice.leave()
