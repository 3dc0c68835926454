"""Pieces of files over real sockets: what is served, to whom, how much of it, and what an asker believes."""

from functools import partial
from pathlib import Path

import pytest
import trio

from p2pverify.core.blobs.chunks import list_bytes, read_chunk_list
from p2pverify.core.blobs.messages import PIECE_BYTES_MAX, BlobRefused, BlobRequest, BlobStatus
from p2pverify.core.encoding.canon import encode
from p2pverify.core.limits import Rate
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.blob import PROTOCOL, BlobLimits, limits_at
from p2pverify.net.protocols.visitor import Visitor
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.ports import AskError, BlobSource
from tests.net.real_peers import NETWORK, Peer, assert_answers, call, introduce, join, seed_of, stranger
from tests.support.blobs import MIB, make_blob, server_of

SIZE = 3 * MIB - 5


class Held(BlobSource):
    """Serves zeroes, when it is let."""

    def __init__(self) -> None:
        self.reading = 0
        self.most = 0
        self.gate = trio.Event()

    async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await self.gate.wait()
        finally:
            self.reading -= 1
        return bytes(length)


async def _pair(nursery: trio.Nursery, blobs: BlobSource, **limits: object) -> tuple[Peer, Peer]:
    alice = await join(nursery, "alice", blobs=blobs, blob_limits=BlobLimits(**limits))
    bob = await join(nursery, "bob", alice.address)
    await bob.mesh.wait_connected(alice.key)
    return alice, bob


async def _reason(peer: Peer, key: bytes, sha256: bytes = bytes(32), offset: int = 0, length: int = 1) -> str:
    with pytest.raises(AskError) as caught:
        await peer.mesh.fetch_blob(key, sha256, offset, length)
    return caught.value.reason


async def test_pieces_of_a_file_and_of_its_chunk_list(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The bytes are those of the file, and what goes beyond is refused with a word."""
    blob = make_blob(tmp_path, SIZE)
    entry = blob.entry
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, server_of(blob))
        fetch = partial(bob.mesh.fetch_blob, alice.key)
        for offset, length in ((0, PIECE_BYTES_MAX), (SIZE - 1, 1), (MIB - 3, 7)):
            assert await fetch(entry.sha256, offset, length) == blob.data[offset : offset + length]
        listed = await fetch(entry.chunks, 0, list_bytes(SIZE))
        assert read_chunk_list(entry, listed).size == SIZE
        assert await _reason(bob, alice.key, entry.sha256, SIZE, 1) == "beyond"
        assert await _reason(bob, alice.key, entry.sha256, SIZE - 1, 2) == "beyond"
        assert await _reason(bob, alice.key, entry.chunks, 0, list_bytes(SIZE) + 1) == "beyond"
        assert await _reason(bob, alice.key, b"\1" * 32) == "unknown"
        blob.path.unlink()
        assert await _reason(bob, alice.key, entry.sha256) == "not-served"
        assert await _reason(alice, bob.key, entry.sha256) == "unsupported"
        assert alice.count("blobs_answered") == 4
        assert alice.count("blobs_served_bytes") == PIECE_BYTES_MAX + 1 + 7 + list_bytes(SIZE)
        assert alice.count("blobs_refused_unknown") == alice.count("blobs_refused_not-served") == 1


async def test_an_asker_opens_the_window_for_the_whole_answer(nursery: trio.Nursery) -> None:
    """The server need not wait for room, which the library would look for every 10 ms."""
    windows: list[int] = []

    async def answer(stream: Stream) -> None:
        await read_frame(stream, 100)
        windows.append(stream._muxed.send_window)
        await write_frame(stream, b"\0" + bytes(PIECE_BYTES_MAX))

    with trio.fail_after(10):
        alice, bob = await _pair(nursery, Held())
        alice.mesh._host._handlers[PROTOCOL] = answer
        assert await bob.mesh.fetch_blob(alice.key, bytes(32), 0, PIECE_BYTES_MAX) == bytes(PIECE_BYTES_MAX)
    assert windows[0] > PIECE_BYTES_MAX


async def test_a_visitor_can_fetch(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Somebody who takes no part in the network gets files too, once it has shown that it knows the network."""
    blob = make_blob(tmp_path, 1000)
    with trio.fail_after(10):
        alice = await join(nursery, "alice", blobs=server_of(blob))
        visitor = Visitor(seed_of("visitor"), NETWORK)
        await nursery.start(visitor.run)
        peer, _ = await visitor.meet(parse_address(alice.address))
        assert await visitor.fetch_blob(peer, blob.entry.sha256, 0, 1000) == blob.data


async def test_a_stranger_gets_nothing(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A host that has not shown its network is refused, whatever it asks for."""
    blob = make_blob(tmp_path, 1000)
    with trio.fail_after(10):
        alice = await join(nursery, "alice", blobs=server_of(blob), blob_limits=BlobLimits(confirm_seconds_max=0.05))
        link = await call(await stranger(nursery), alice)
        async with await link.open_stream(PROTOCOL) as stream:
            await write_frame(stream, BlobRequest(blob.entry.sha256, 0, 1000).encode())
            assert await read_frame(stream, 2000) == bytes([BlobStatus.UNCONFIRMED])


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        bytes(64),
        encode([bytes(32), 0, 0]),
        encode([bytes(32), 0, PIECE_BYTES_MAX + 1]),
        encode(["../../etc/passwd", 0, 1]),
        bytes(65),
    ],
)
async def test_requests_that_are_none_are_reset(nursery: trio.Nursery, request_: bytes) -> None:
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, Held())
        link = bob.mesh._host.link(alice.key)
        assert link is not None
        stream = await link.open_stream(PROTOCOL)
        await write_frame(stream, request_)
        with pytest.raises(StreamBrokenError):
            await read_frame(stream, 10)
        assert alice.count("streams_malformed") == 1
        await assert_answers(nursery, alice)


async def test_one_peer_has_so_many_requests_open_and_at_work(nursery: trio.Nursery) -> None:
    """Two are read at a time, two wait, and the next is refused at once; another peer is served meanwhile."""
    held = Held()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, held)
        carol = await join(nursery, "carol", alice.address)
        await carol.mesh.wait_connected(alice.key)
        sizes: list[int] = []

        async def fetch(peer: Peer, length: int) -> None:
            sizes.append(len(await peer.mesh.fetch_blob(alice.key, bytes(32), 0, length)))

        async with trio.open_nursery() as inner:
            for length in range(1, 5):
                inner.start_soon(fetch, bob, length)
            while alice.mesh._blobs._open[bob.key] < 4 or held.reading < 2:
                await trio.lowlevel.checkpoint()
            assert await _reason(bob, alice.key) == "busy"
            inner.start_soon(fetch, carol, 9)
            while held.reading < 3:
                await trio.lowlevel.checkpoint()
            assert held.most == 3
            held.gate.set()
        assert sorted(sizes) == [1, 2, 3, 4, 9]
        assert not alice.mesh._blobs._open


async def test_beyond_a_rate_answers_wait_and_beyond_patience_they_are_refused(nursery: trio.Nursery) -> None:
    """A pool of 2 MiB is empty after two pieces; the third one comes when the asker's own share has room for it."""
    held = Held()
    held.gate.set()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, held, own=Rate(4 * MIB, 4 * MIB), pool=Rate(1, 2 * MIB))
        for _ in range(3):
            assert len(await bob.mesh.fetch_blob(alice.key, bytes(32), 0, MIB)) == MIB
        assert alice.count("blobs_paced") >= 1
        limits = BlobLimits(own=Rate(1, 4 * MIB), pool=Rate(1, 2 * MIB), pace_seconds_max=0.4)
        dora = await join(nursery, "dora", blobs=held, blob_limits=limits)
        emil = await join(nursery, "emil", dora.address)
        await emil.mesh.wait_connected(dora.key)
        for _ in range(2):
            await emil.mesh.fetch_blob(dora.key, bytes(32), 0, MIB)
        assert await _reason(emil, dora.key, length=MIB) == "busy"
        assert dora.count("blobs_refused_busy") == 1


@pytest.mark.parametrize("bytes_per_second", [10**6, 32 * 10**6, 10**10])
def test_a_piece_fits_every_pool(bytes_per_second: int) -> None:
    """However little an operator serves, a piece comes within the time that an answer may wait."""
    limits = limits_at(bytes_per_second)
    assert limits.pool.burst >= PIECE_BYTES_MAX
    assert limits.pool.per_second * limits.pace_seconds_max >= PIECE_BYTES_MAX


async def test_a_peer_that_does_not_read_loses_its_stream(nursery: trio.Nursery) -> None:
    """And its place among those at work."""
    held = Held()
    held.gate.set()
    with trio.fail_after(10):
        alice, bob = await _pair(nursery, held, take_seconds_max=0.05)
        link = bob.mesh._host.link(alice.key)
        assert link is not None
        stream = await link.open_stream(PROTOCOL)
        await write_frame(stream, BlobRequest(bytes(32), 0, PIECE_BYTES_MAX).encode())
        while not alice.count("streams_broken"):  # noqa: ASYNC110  # a counter announces nothing
            await trio.sleep(0.01)
        assert alice.mesh._blobs._turns.working == 0
        await assert_answers(nursery, alice)


async def test_a_bug_behind_the_port_is_a_reset(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(BlobSource):
        async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
            raise RuntimeError("a bug")

    with trio.fail_after(10):
        alice, bob = await _pair(nursery, Broken())
        assert await _reason(bob, alice.key) == "reset"
        assert "a bug" in caplog.text
        await assert_answers(nursery, alice)


async def _answered(nursery: trio.Nursery, frame: bytes, length: int) -> str:
    """The reason with which an asker refuses these bytes as an answer."""
    host = await stranger(nursery)

    async def answer(stream: Stream) -> None:
        await read_frame(stream, 100)
        await stream.write(frame)

    host.handle("/p2pverify/peers/2", introduce)
    host.handle(PROTOCOL, answer)
    alice = await join(nursery, "alice", str(host.addresses[0]))
    await alice.mesh.wait_connected(host.peer)
    return await _reason(alice, host.peer, length=length)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ((1 << 31).to_bytes(4, "big"), "too-large"),
        ((1002).to_bytes(4, "big") + bytes(1002), "too-large"),
        ((1000).to_bytes(4, "big") + bytes(1000), "malformed"),
        (bytes(4), "malformed"),
        ((1).to_bytes(4, "big") + b"\x63", "malformed"),
        ((2).to_bytes(4, "big") + b"\1x", "malformed"),
        ((1001).to_bytes(4, "big") + bytes(1001) + b"more", "malformed"),
        ((1001).to_bytes(4, "big") + bytes(500), "reset"),
        ((1).to_bytes(4, "big") + bytes([BlobStatus.BUSY]), "busy"),
    ],
)
async def test_answers_that_are_none(nursery: trio.Nursery, frame: bytes, reason: str) -> None:
    """An endless, short, long or unknown answer to a request for 1,000 bytes is refused by its first bytes."""
    with trio.fail_after(10):
        assert await _answered(nursery, frame, 1000) == reason


def test_every_refusal_has_a_word() -> None:
    words = {BlobRefused(status).status.word for status in BlobStatus}
    assert words == {"ok", "unknown", "not-served", "busy", "beyond", "unconfirmed"}
