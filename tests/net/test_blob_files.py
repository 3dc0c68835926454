"""A file from several peers over real sockets: whole and exact, whatever some of them do."""

from pathlib import Path

import pytest
import trio

from p2pverify.core.blobs.plan import SOURCES_MAX
from p2pverify.node.blobs.fetcher import BlobFetcher, BlobProgress, FetchError
from p2pverify.store.blobs.store import BlobStore
from tests.net.real_peers import Peer, join
from tests.support.blobs import MIB, Blob, LyingServer, make_blob, server_of

SIZE, CHUNKS = 20 * MIB - 77, 20
SMALL, SMALL_CHUNKS = 6 * MIB - 5, 6


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Blob:
    return make_blob(tmp_path_factory.mktemp("blob"), SIZE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Blob:
    return make_blob(tmp_path_factory.mktemp("small"), SMALL)


async def _sources(nursery: trio.Nursery, blob: Blob, count: int) -> list[Peer]:
    return [await join(nursery, f"source {number}", blobs=server_of(blob)) for number in range(count)]


async def _fetcher(nursery: trio.Nursery, blob: Blob, folder: Path, sources: list[Peer]) -> tuple[Peer, BlobFetcher]:
    peer = await join(nursery, "fetcher", *(source.address for source in sources))
    for source in sources:
        await peer.mesh.wait_connected(source.key)
    return peer, _fetcher_of(peer, blob, folder)


def _fetcher_of(peer: Peer, blob: Blob, folder: Path) -> BlobFetcher:
    allowed = blob.allowed
    return BlobFetcher(peer.mesh, BlobStore(folder, 1 << 30), lambda: allowed)


async def test_one_of_three_lies_and_one_is_killed(nursery: trio.Nursery, blob: Blob, tmp_path: Path) -> None:
    """The file is complete and exact. The liar is asked once for a chunk, and the killed peer's chunk comes again."""
    with trio.fail_after(30):
        liar = await join(nursery, "liar", blobs=server_of(blob, LyingServer))
        victim, honest = await _sources(nursery, blob, 2)
        _, fetcher = await _fetcher(nursery, blob, tmp_path, [liar, victim, honest])
        seen: list[BlobProgress] = []

        def watch(progress: BlobProgress) -> None:
            seen.append(progress)
            if progress.done > SIZE / 2:
                victim.scope.cancel()

        path = await fetcher.fetch(blob.entry, [liar.key, victim.key, honest.key], progress=watch)
        assert path.read_bytes() == blob.data
        counters = fetcher.counters
        assert counters["blobs_false"] == 1
        assert counters["blobs_chunks_fetched"] == CHUNKS
        assert victim.count("blobs_answered") > 1
        assert liar.count("blobs_answered") <= 2  # the chunk list, which is right, and one chunk
        assert [each.done for each in seen] == sorted(each.done for each in seen)
        assert (seen[0].done, seen[-1].done) == (0, SIZE)
        assert all(each.total == SIZE and each.sources <= SOURCES_MAX for each in seen)


async def test_an_interrupted_download_fetches_no_chunk_twice(
    nursery: trio.Nursery, small: Blob, tmp_path: Path
) -> None:
    """At most the one chunk per source that was on its way comes again, with another process's fetcher."""
    with trio.fail_after(30):
        sources = await _sources(nursery, small, 2)
        keys = [source.key for source in sources]
        peer, fetcher = await _fetcher(nursery, small, tmp_path, sources)
        with trio.CancelScope() as scope:

            def stop(progress: BlobProgress) -> None:
                if progress.done > SMALL / 2:
                    scope.cancel()

            await fetcher.fetch(small.entry, keys, progress=stop)
        assert scope.cancelled_caught
        again = _fetcher_of(peer, small, tmp_path)
        path = await again.fetch(small.entry, keys)
        assert path.read_bytes() == small.data
        kept = again.counters["blobs_chunks_kept"]
        assert kept >= SMALL_CHUNKS // 2
        assert again.counters["blobs_chunks_fetched"] == SMALL_CHUNKS - kept
        served = sum(source.count("blobs_answered") for source in sources)
        assert served <= SMALL_CHUNKS + 1 + len(sources)  # with the chunk list


async def test_nobody_has_it(nursery: trio.Nursery, small: Blob, tmp_path: Path) -> None:
    """The error says what became of each peer, and what to do."""
    with trio.fail_after(30):
        liars = [await join(nursery, f"liar {number}", blobs=server_of(small, LyingServer)) for number in range(2)]
        without = await join(nursery, "without")
        _, fetcher = await _fetcher(nursery, small, tmp_path, [*liars, without])
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(small.entry, [peer.key for peer in (*liars, without)])
        assert "6 of 6 chunks" in caught.value.reason
        assert "2 sent false bytes, 1 without the file" in caught.value.reason
        assert "try again later" in caught.value.hint
        assert "blobs_chunks_fetched" not in fetcher.counters
