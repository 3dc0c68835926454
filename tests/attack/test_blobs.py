"""Attacks by peers that fetch files from the node, and by peers from which the node fetches one."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pverify import app
from p2pverify.core.blobs.chunks import ChunkList, list_bytes
from p2pverify.core.blobs.messages import PIECE_BYTES_MAX, BlobRequest, BlobStatus, decode_blob_request
from p2pverify.core.encoding.canon import encode
from p2pverify.net.adapter import Libp2pNetwork
from p2pverify.net.border.framing import read_frame
from p2pverify.net.border.stream import Stream
from p2pverify.net.protocols import blob as blob_protocol
from p2pverify.net.protocols.blob import PROTOCOL, BlobLimits
from p2pverify.node.blobs.fetcher import FetchError
from p2pverify.node.blobs.files import BlobFiles, BlobSettings
from p2pverify.node.files.home import Home
from p2pverify.node.ports import AskError
from p2pverify.store.blobs.measure import measure_file
from tests.attack.enemy import insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live, until
from tests.support.blobs import MIB, Blob, make_blob

SIZE = 2 * MIB + 5
CHUNKS = 3


@pytest.fixture
def blob(tmp_path: Path) -> Blob:
    return make_blob(tmp_path / "models", SIZE)


@pytest.fixture(autouse=True)
def _serving(monkeypatch: pytest.MonkeyPatch, blob: Blob) -> None:
    """Nodes serve the file, as if a counted record named it, and are impatient."""
    allowed = blob.allowed
    monkeypatch.setattr(app, "NamedFiles", lambda _machine: lambda: allowed)
    monkeypatch.setattr(app, "NodeSettings", partial(app.NodeSettings, blobs=BlobSettings(serve=True)))
    limits = partial(BlobLimits, confirm_seconds_max=1.0, take_seconds_max=1.0)
    monkeypatch.setattr(blob_protocol, "BlobLimits", limits)


def files_of(live: Live) -> BlobFiles:
    found = live.node.reports._blobs
    assert found is not None
    return found


async def reason(mesh: Libp2pNetwork, live: Live, sha256: bytes, length: int = 1) -> str:
    with pytest.raises(AskError) as caught:
        await mesh.fetch_blob(live.node.key, sha256, 0, length)
    return caught.value.reason


async def serves(live: Live, blob: Blob) -> None:
    """The honest neighbour gets a piece of the file."""
    piece = await live.neighbour.mesh.fetch_blob(live.node.key, blob.entry.sha256, 7, 1000)
    assert piece == blob.data[7:1007]


MALFORMED = {
    "nothing": b"",
    "random bytes": os.urandom(60),
    "a longer frame": bytes(65),
    "a path": encode(["../../identity.key", 0, 1]),
    "no bytes": encode([bytes(32), 0, 0]),
    "too many bytes": encode([bytes(32), 0, PIECE_BYTES_MAX + 1]),
    "an offset beyond all": encode([bytes(32), 2**60, 1]),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_for_blobs(live: Live, blob: Blob, name: str) -> None:
    """A malformed request loses its stream."""
    files_of(live).keeper.register(blob.path)
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            stream = await link.open_stream(PROTOCOL)
            data = MALFORMED[name]
            await stream.write(len(data).to_bytes(4, "big") + data)
            assert await read_all(stream) is None
        await serves(live, blob)
    await live.survives("net streams_malformed")


async def test_files_that_no_record_names(live: Live, tmp_path: Path) -> None:
    """Files of the node's home are not served, even if the store holds them, and nothing is fetched for strangers."""
    keeper = files_of(live).keeper
    secret = Home(tmp_path / "victim").identity_path
    found = make_blob(tmp_path / "private", 1000)
    keeper.register(found.path)
    keeper.register(secret)
    private = [held.sha256 for held in keeper.held()]
    assert len(private) == 2
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for sha256 in (*private, found.entry.chunks, bytes(32), os.urandom(32)):
                assert await reason(mesh, live, sha256) == "unknown"
    assert not (tmp_path / "victim" / "blobs").exists()
    await live.survives("net blobs_refused_unknown")


async def test_a_flood_of_requests_for_blobs(live: Live, blob: Blob) -> None:
    """A peer that opens streams and stays silent blocks only itself."""
    files_of(live).keeper.register(blob.path)
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, link):
            for _ in range(40):
                await link.open_stream(PROTOCOL)
            refused = partial(live.node.count, "net blobs_refused_busy")
            await until(lambda: refused() > 0, "streams beyond the limit are refused")
            assert await reason(mesh, live, blob.entry.sha256) == "busy"
            await serves(live, blob)
            await live.is_well()
    await live.survives()


async def test_askers_that_do_not_read_their_blobs(live: Live, blob: Blob) -> None:
    """They lose their streams, and others are served meanwhile."""
    files_of(live).keeper.register(blob.path)
    wanted = BlobRequest(blob.entry.sha256, 0, PIECE_BYTES_MAX).encode()
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            for _ in range(4):
                stream = await link.open_stream(PROTOCOL)
                await stream.write(len(wanted).to_bytes(4, "big") + wanted)
            await serves(live, blob)
            await until(lambda: live.node.count("net streams_broken") > 0, "a stream is given up")
    await live.survives("net streams_broken")


async def test_strangers_get_no_blobs(live: Live, blob: Blob) -> None:
    """A peer that has not proven to belong to the network gets none."""
    files_of(live).keeper.register(blob.path)
    wanted = BlobRequest(blob.entry.sha256, 0, 1).encode()
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            stream = await mallory.link.open_stream(PROTOCOL)
            await stream.write(len(wanted).to_bytes(4, "big") + wanted)
            await stream.finish()
            assert (await read_all(stream) or b"")[4:] == bytes([BlobStatus.UNCONFIRMED])
    await live.survives("net blobs_refused_unconfirmed")


Lie = Callable[[Blob, BlobRequest, Stream], Awaitable[None]]


async def _send(stream: Stream, data: bytes) -> None:
    await stream.write((1 + len(data)).to_bytes(4, "big") + b"\0" + data)


async def endless(_blob: Blob, wanted: BlobRequest, stream: Stream) -> None:
    await stream.write((1 << 31).to_bytes(4, "big") + bytes(2 * wanted.length))


async def other_length(_blob: Blob, wanted: BlobRequest, stream: Stream) -> None:
    await _send(stream, bytes(wanted.length - 1))


async def huge_list(blob: Blob, wanted: BlobRequest, stream: Stream) -> None:
    """More hashes than the file has chunks."""
    await _send(stream, ChunkList(SIZE, (bytes(32),) * 60_000).encode()[: PIECE_BYTES_MAX + 1])


async def forged_list(blob: Blob, wanted: BlobRequest, stream: Stream) -> None:
    """Of the right length, with the hashes of zeroes."""
    assert wanted.length == list_bytes(SIZE)
    await _send(stream, ChunkList(SIZE, (bytes(32),) * CHUNKS).encode())


async def false_chunks(blob: Blob, wanted: BlobRequest, stream: Stream) -> None:
    """The right list, and zeroes for the file."""
    listed = measure_file(blob.path).chunks.encode()
    await _send(stream, listed if wanted.sha256 == blob.entry.chunks else bytes(wanted.length))


@pytest.mark.parametrize("lie", [endless, other_length, huge_list, forged_list, false_chunks])
async def test_false_files(live: Live, blob: Blob, lie: Lie) -> None:
    """The first lie costs the liar its place. The node says so, keeps nothing false, and fetches from another peer."""

    async def answer(stream: Stream) -> None:
        await lie(blob, decode_blob_request(await read_frame(stream, 64)), stream)

    fetcher = files_of(live).fetcher(live.node.mesh)
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            mesh._host.handle(PROTOCOL, answer)
            await live.node.mesh.wait_connected(mesh.peer)
            with pytest.raises(FetchError, match="1 sent false bytes"):
                await fetcher.fetch(blob.entry, [mesh.peer])
        assert all(not held.is_whole and held.bytes < 1000 for held in files_of(live).keeper.held())
        others = live.neighbour.reports._blobs
        assert others is not None
        others.keeper.register(blob.path)
        path = await fetcher.fetch(blob.entry, [live.neighbour.key])
        assert path.read_bytes() == blob.data
        shown = await trio.to_thread.run_sync(live.node.get, "/v1/blobs")
    assert [(held["sha256"], held["whole"], held["served"]) for held in shown["blobs"]] == [
        (blob.entry.sha256.hex(), True, True)
    ]
    await live.survives("blobs blobs_false", "blobs blobs_fetched")
