"""Attacks on a secured connection below the protocols: muxer frames, endless streams, and peers that do not read."""

import os

import pytest
import trio

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import Cut
from p2pverify.net.border import harden, link
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.node.ports import AskError
from tests.attack.enemy import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    gossiper,
    insider,
    muxer_frame,
    stranger,
)
from tests.attack.live import PATIENCE_S, Live, until

FRAMES = {
    "random": os.urandom(600),
    "huge": muxer_frame(DATA, SYN, 1001, 0xFFFFFFF0, b"x" * 1000),
    "truncated": muxer_frame(DATA, SYN, 1001, 1000, b"x" * 10),
    "unknown version and kind": b"\xff\x7f" + bytes(10),
    "data for no stream": muxer_frame(DATA, 0, 77, 5, b"hello") * 100,
    "all flags at once": muxer_frame(WINDOW_UPDATE, SYN | ACK | FIN | RST, 99, 0) * 50,
    "a stream twice": muxer_frame(WINDOW_UPDATE, SYN, 99, 0) * 50,
    "a stream with our number": muxer_frame(WINDOW_UPDATE, SYN, 2, 0) + muxer_frame(WINDOW_UPDATE, SYN, 4, 0),
    "endless window": muxer_frame(WINDOW_UPDATE, SYN, 99, 0) + muxer_frame(WINDOW_UPDATE, 0, 99, 0xFFFFFFFF) * 9,
    "pings": muxer_frame(PING, SYN, 0, 7) * 500,
    "goodbye": muxer_frame(GO_AWAY, 0, 0, 1),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_garbage_for_the_muxer(live: Live, name: str) -> None:
    """Frames that are not Yamux, too large, cut off or without a stream only harm their connection."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            await mallory.send_frames(FRAMES[name])
            await live.is_well()
    await until(lambda: live.node.count("net links_closed") > 0, "the connection has ended")
    await live.survives()


FLOODS = {
    "empty": lambda stream: muxer_frame(WINDOW_UPDATE, SYN, stream, 0),
    "with a byte that nobody reads": lambda stream: muxer_frame(DATA, SYN, stream, 1, b"x"),
    "with a byte, and ended": lambda stream: muxer_frame(DATA, SYN | FIN, stream, 1, b"x"),
    "with a byte, and reset": lambda stream: (
        muxer_frame(DATA, SYN, stream, 1, b"x") + muxer_frame(WINDOW_UPDATE, RST, stream, 0)
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_stream_flood(live: Live, kind: str) -> None:
    """Of thousands of streams opened at once, some are served, and the others are reset and leave nothing."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            await mallory.send_frames(b"".join(FLOODS[kind](10_001 + 2 * number) for number in range(3000)))
            await live.is_well()
            theirs = live.node.mesh._host.link(mallory.host.peer)
            assert theirs is not None
            await until(lambda: _opened(live) >= 3000, "all of them have been seen")
            await until(lambda: len(theirs._muxer.streams) <= link.INBOUND_STREAMS_MAX + 8, "most are forgotten")
    await live.survives()


def _opened(live: Live) -> int:
    """Streams that were refused, served without a request, or wait for data."""
    counted = ("net streams_refused", "net streams_broken", "net streams_malformed")
    return sum(map(live.node.count, counted)) + link.INBOUND_STREAMS_MAX


async def test_streams_that_are_never_used(live: Live) -> None:
    """Streams above a connection's limit are reset. The neighbour has its own connection and is not affected."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            opened = 0
            while not live.node.count("net streams_refused"):
                try:
                    await mallory.link.open_stream("/ipfs/ping/1.0.0")
                    opened += 1
                except StreamBrokenError:
                    await trio.lowlevel.checkpoint()
            assert 50 < opened <= link.INBOUND_STREAMS_MAX
            await live.is_well()
    await live.survives("net streams_refused")


async def test_bytes_that_nobody_reads(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that sends unread data beyond the window loses the connection."""
    monkeypatch.setattr(harden, "UNREAD_BYTES_MAX", 1 << 20)
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            stream = await mallory.link.open_stream("/p2pverify/request/2")
            stream._muxed.send_window = 1 << 30
            with pytest.raises(StreamBrokenError):
                await stream.write(b"\0\0\0\0" * (1 << 20))
            await mallory.link.closed.wait()
    await live.survives("net links_closed")


async def test_a_peer_that_does_not_read(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mesh neighbour that stops reading is dropped after a time. The others get every message."""
    monkeypatch.setattr(harden.Muxer, "write_seconds_max", 0.5)
    node, author = live.node, live.new_author()
    heads = tuple(sorted((os.urandom(32), 0, os.urandom(32)) for _ in range(700)))
    await live.admit(author)
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            await mallory.join_mesh()
            mallory.stranger.stop_reading()
            while node.mesh._host.link(mallory.stranger.host.peer) is not None:
                epoch = live.neighbour.epoch
                cut = Cut(epoch, bytes(32), bytes(32), bytes(80), heads, bytes(32), bytes(32), bytes(32))
                await live.spread(author.record(Kind.CUT, cut.encode(), epoch))
    await live.survives("net links_closed")


async def test_cancellation_in_the_middle_of_a_write(live: Live) -> None:
    """A request that the node cancels at any moment does not harm its connection to the neighbour."""
    before = live.node.mesh._host.link(live.neighbour.key)
    request = b"x" * 60_000
    with trio.fail_after(PATIENCE_S):
        for steps in range(40):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ask, live, request)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
    await live.survives()
    assert live.node.mesh._host.link(live.neighbour.key) is before


async def _ask(live: Live, request: bytes) -> None:
    await live.node.mesh.ask(live.neighbour.key, request)


async def test_answers_that_the_asker_gives_up(live: Live) -> None:
    """A stream that is reset during its answer counts as broken, and the next request is answered."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, theirs):
            for protocol in live.node.protocols:
                for size in (0, 3, 4, 40, 4000):
                    stream = await theirs.open_stream(protocol)
                    await stream.write((4000).to_bytes(4, "big")[:size] + b"x" * max(0, size - 4))
                    await stream.reset()
            with pytest.raises(AskError):
                await mesh.ask(live.node.key, b"x" * 70_000)
    await live.survives("net streams_broken")


async def test_a_peer_that_vanishes(live: Live) -> None:
    """A connection that ends silently with open streams is removed."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            for _ in range(20):
                await mallory.link.open_stream("/ipfs/ping/1.0.0")
            await trio.aclose_forcefully(mallory.link._muxer.secured_conn.wire._socket)
            await mallory.link.closed.wait()
    await live.survives("net links_closed")
