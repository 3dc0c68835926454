"""Fetching from peers that answer in any way, without sockets."""

import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pverify.core.blobs.chunks import ChunkList, list_bytes
from p2pverify.core.blobs.plan import BUSY_MAX, FAILURES_MAX
from p2pverify.node.blobs.fetcher import PIECE_SECONDS_MAX, BlobFetcher, FetchError
from p2pverify.node.ports import AskError, BlobPort
from p2pverify.store.blobs.store import BlobStore
from p2pverify.store.errors import StoreError
from tests.support.blobs import MIB, Blob, make_blob, server_of

SIZE = 4 * MIB + 9
CHUNKS = 5
A, B, C = (name * 32 for name in (b"a", b"b", b"c"))

Answer = Callable[[bytes, int, int], Awaitable[bytes]]


class Peers(BlobPort):
    """Peers by key, each of which answers as its function does."""

    def __init__(self, answers: dict[bytes, Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[bytes, bytes, int]] = []

    async def fetch_blob(self, peer: bytes, sha256: bytes, offset: int, length: int) -> bytes:
        self.asked.append((peer, sha256, offset))
        await trio.lowlevel.checkpoint()
        return await self.answers[peer](sha256, offset, length)

    def count(self, peer: bytes) -> int:
        return sum(asked[0] == peer for asked in self.asked)


def refuses(reason: str) -> Answer:
    async def answer(_sha256: bytes, _offset: int, _length: int) -> bytes:
        raise AskError(reason)

    return answer


async def nonsense(_sha256: bytes, _offset: int, length: int) -> bytes:
    return bytes(length)


async def silence(_sha256: bytes, _offset: int, _length: int) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


@pytest.fixture
def blob(tmp_path: Path) -> Blob:
    return make_blob(tmp_path, SIZE)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", 1 << 30)


def fetcher_of(blob: Blob, store: BlobStore, **answers: Answer) -> tuple[Peers, BlobFetcher]:
    peers = Peers({name.encode() * 32: answer for name, answer in answers.items()})
    allowed = blob.allowed
    return peers, BlobFetcher(peers, store, lambda: allowed)


async def test_a_file_comes_once_and_is_pinned_when_it_is_to_stay(blob: Blob, store: BlobStore) -> None:
    peers, fetcher = fetcher_of(blob, store, a=server_of(blob).read)
    path = await fetcher.fetch(blob.entry, [A], pin=False)
    assert path.read_bytes() == blob.data
    assert peers.count(A) == CHUNKS + 1
    assert [held.pinned for held in store.held()] == [False]
    assert await fetcher.fetch(blob.entry, [A]) == path
    assert peers.count(A) == CHUNKS + 1
    assert [held.pinned for held in store.held()] == [True]


async def test_a_file_that_no_record_names_is_not_fetched(blob: Blob, store: BlobStore) -> None:
    """Nor one that is named with another size or chunk list. Nobody is asked, and nothing is written."""
    peers, fetcher = fetcher_of(blob, store, a=server_of(blob).read)
    for entry in (
        replace(blob.entry, sha256=bytes(32)),
        replace(blob.entry, size=SIZE + 1),
        replace(blob.entry, chunks=bytes(32)),
    ):
        with pytest.raises(FetchError, match="no counted release names it"):
            await fetcher.fetch(entry, [A])
    assert peers.asked == []
    assert store.held() == ()


async def test_a_path_says_nothing_about_where_a_file_goes(blob: Blob, store: BlobStore) -> None:
    """An entry that was made without the checks of its reader stays in the folder of blobs, too."""
    _, fetcher = fetcher_of(blob, store, a=server_of(blob).read)
    path = await fetcher.fetch(replace(blob.entry, path="../../outside"), [A])
    assert path.is_relative_to(store._folder)


async def test_a_false_chunk_list_costs_a_peer_its_place(blob: Blob, store: BlobStore) -> None:
    """Also one that is well-formed: it is held against the release."""
    forged = ChunkList(SIZE, (bytes(32),) * CHUNKS).encode()

    async def forge(sha256: bytes, offset: int, length: int) -> bytes:
        return forged[offset : offset + length] if sha256 == blob.entry.chunks else bytes(length)

    assert len(forged) == list_bytes(SIZE)
    peers, fetcher = fetcher_of(blob, store, a=forge, b=nonsense, c=server_of(blob).read)
    path = await fetcher.fetch(blob.entry, [A, B, C])
    assert path.read_bytes() == blob.data
    assert fetcher.counters["blobs_false"] >= 1
    assert peers.count(A) <= 2
    assert peers.count(B) <= 2
    _, alone = fetcher_of(blob, BlobStore(store._folder / "fresh", 1 << 30), a=forge)
    with pytest.raises(FetchError, match="no peer sent the chunk list"):
        await alone.fetch(blob.entry, [A])


async def test_a_damaged_list_in_the_store_is_fetched_again(blob: Blob, store: BlobStore) -> None:
    _, fetcher = fetcher_of(blob, store, a=refuses("unknown"))
    part = store.begin(blob.entry, ChunkList(SIZE, (bytes(32),) * CHUNKS), pin=False)
    part.close()
    with pytest.raises(FetchError, match="no peer sent the chunk list"):
        await fetcher.fetch(blob.entry, [A])
    _, fetcher = fetcher_of(blob, store, a=server_of(blob).read)
    assert (await fetcher.fetch(blob.entry, [A])).read_bytes() == blob.data


@pytest.mark.parametrize(
    ("reason", "times", "told"),
    [
        ("unknown", 1, "1 without the file"),
        ("not-served", 1, "1 without the file"),
        ("unsupported", 1, "1 without the file"),
        ("malformed", 1, "1 sent false bytes"),
        ("too-large", 1, "1 sent false bytes"),
        ("busy", BUSY_MAX, "1 too busy"),
        ("reset", FAILURES_MAX, "1 out of reach"),
        ("unreachable", FAILURES_MAX, "1 out of reach"),
    ],
)
async def test_what_each_refusal_means(
    blob: Blob, store: BlobStore, autojump_clock: trio.testing.MockClock, reason: str, times: int, told: str
) -> None:
    """How often a peer is asked, and what the error says of it. Waiting takes no real time here."""
    peers, fetcher = fetcher_of(blob, store, a=refuses(reason))
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(blob.entry, [A])
    assert told in caught.value.reason
    assert peers.count(A) == times


async def test_without_peers(blob: Blob, store: BlobStore) -> None:
    _, fetcher = fetcher_of(blob, store)
    with pytest.raises(FetchError, match="there is no peer to ask"):
        await fetcher.fetch(blob.entry, [])


async def test_a_silent_peer_holds_nothing_up(blob: Blob, store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another peer is asked for its chunk, and it is told to stop."""
    monkeypatch.setattr("p2pverify.core.blobs.plan._SLOW_MS", 1)
    peers, fetcher = fetcher_of(blob, store, a=silence, b=server_of(blob).read)
    with trio.fail_after(10):
        path = await fetcher.fetch(blob.entry, [A, B])
    assert path.read_bytes() == blob.data
    assert peers.count(B) == CHUNKS + 1


async def test_a_piece_has_a_deadline(blob: Blob, store: BlobStore, autojump_clock: trio.testing.MockClock) -> None:
    peers, fetcher = fetcher_of(blob, store, a=silence)
    with pytest.raises(FetchError, match="1 out of reach"):
        await fetcher.fetch(blob.entry, [A])
    assert peers.count(A) == FAILURES_MAX
    assert trio.current_time() >= FAILURES_MAX * PIECE_SECONDS_MAX


async def test_a_full_disk_ends_the_download_with_advice(
    blob: Blob, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the store's, the file is let go, and the next try goes on."""
    _, fetcher = fetcher_of(blob, store, a=server_of(blob).read, b=server_of(blob).read)
    with monkeypatch.context() as patch:
        patch.setattr("p2pverify.store.blobs.store.SPARE_BYTES", 1 << 60)
        with pytest.raises(StoreError, match="disk or the quota is full"):
            await fetcher.fetch(blob.entry, [A, B])
    written = iter(range(2))

    def fill(handle: int, data: bytes, offset: int) -> int:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fill)
        with pytest.raises(StoreError, match="disk or the quota is full"):
            await fetcher.fetch(blob.entry, [A])
    assert (await fetcher.fetch(blob.entry, [A])).read_bytes() == blob.data
    assert fetcher.counters["blobs_chunks_kept"] == 2


async def test_an_empty_file(tmp_path: Path, store: BlobStore) -> None:
    blob = make_blob(tmp_path / "empty", 0)
    _, fetcher = fetcher_of(blob, store, a=server_of(blob).read)
    assert (await fetcher.fetch(blob.entry, [A])).read_bytes() == b""


async def test_two_fetches_of_one_file_do_not_meet(blob: Blob, store: BlobStore) -> None:
    """The second one says that the file is being fetched."""
    begun = trio.Event()

    async def slow(sha256: bytes, offset: int, length: int) -> bytes:
        if sha256 == blob.entry.sha256:
            begun.set()
            await trio.sleep_forever()
        return await server_of(blob).read(sha256, offset, length)

    _, fetcher = fetcher_of(blob, store, a=slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetcher.fetch, blob.entry, [A])
        await begun.wait()
        with pytest.raises(StoreError, match="being fetched already"):
            await fetcher.fetch(blob.entry, [A])
        nursery.cancel_scope.cancel()
    store.begin(blob.entry, ChunkList(SIZE, (bytes(32),) * CHUNKS), pin=False).close()
