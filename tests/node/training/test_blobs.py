"""The blobs of rounds: what members may have, how long they stay, and what an erasure does."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.blobs.messages import BlobRefused, BlobStatus
from p2pverify.core.encoding.canon import sha256
from p2pverify.node.training.blobs import ROUND_CUTS_KEPT
from tests.node.training.bench import DATASET, PLACE, Bench, opened

UPDATE, SHOWN = b"update of another", b"rows of another"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def status(bench: Bench, data: bytes, *, is_member: bool = True) -> BlobStatus:
    try:
        read = await bench.training.source(None).read(sha256(data), 0, len(data), is_member=is_member)
    except BlobRefused as refused:
        return refused.status
    assert read == data
    return BlobStatus.OK


async def next_cut(bench: Bench, **changes: object) -> None:
    bench.blobs.look(bench.final(**changes))
    await bench.blobs.tidy()


async def test_what_members_may_have(bench: Bench) -> None:
    """A blob is served from the cut that names it until the round is over, to members alone."""
    bench.blobs.look(bench.open())
    bench.blobs.keep(UPDATE)
    bench.blobs.keep(SHOWN)
    assert [await status(bench, data) for data in (UPDATE, SHOWN)] == [BlobStatus.UNKNOWN] * 2
    bench.blobs.look(bench.open(opened(UPDATE, SHOWN)))
    assert [await status(bench, data) for data in (UPDATE, SHOWN)] == [BlobStatus.OK] * 2
    assert [await status(bench, data, is_member=False) for data in (UPDATE, SHOWN)] == [BlobStatus.UNKNOWN] * 2
    bench.store.delete(sha256(UPDATE))
    assert await status(bench, UPDATE) is BlobStatus.NOT_SERVED
    bench.blobs.look(bench.close())
    assert await status(bench, SHOWN) is BlobStatus.UNKNOWN


async def test_blobs_go_some_cuts_after_their_round(bench: Bench) -> None:
    bench.blobs.look(bench.open(opened(UPDATE, SHOWN)))
    bench.blobs.keep(UPDATE)
    own = bench.blobs.keep(b"not named yet")
    bench.blobs.note([own], PLACE)
    for _ in range(ROUND_CUTS_KEPT + 2):
        await next_cut(bench)
    assert bench.blobs.get(own) == b"not named yet"  # the round is still open
    bench.blobs.look(bench.close())
    for _ in range(ROUND_CUTS_KEPT - 1):
        await next_cut(bench)
    assert None not in (bench.blobs.get(own), bench.blobs.get(sha256(UPDATE)))
    for _ in range(2):
        await next_cut(bench)
    assert (bench.store.held(), bench.blobs.get(own)) == ((), None)


async def test_an_erasure_drops_the_rows_at_once(bench: Bench) -> None:
    """The rows may be those that were erased. The update tells nobody a row, so it stays."""
    state = bench.open(opened(UPDATE, SHOWN))
    bench.blobs.look(state)
    bench.blobs.keep(UPDATE)
    bench.blobs.keep(SHOWN)
    erased = replace(state.datasets[DATASET], root=b"\x0c" * 32)
    await next_cut(bench, datasets={DATASET: erased})
    assert bench.blobs.get(sha256(SHOWN)) is None
    assert [await status(bench, data) for data in (UPDATE, SHOWN)] == [BlobStatus.OK, BlobStatus.UNKNOWN]
    bench.blobs.keep(SHOWN)  # an evaluation that was under way
    await next_cut(bench)
    assert [blob.sha256 for blob in bench.store.held()] == [sha256(UPDATE)]


async def test_a_restart_forgets_what_blobs_are_for(bench: Bench) -> None:
    """They go after the same time, unless records name them again."""
    for data in (UPDATE, SHOWN):
        bench.blobs.keep(data)
    bench.start()
    bench.blobs.look(bench.open(opened(UPDATE, b"other rows")))
    await bench.blobs.tidy()
    for _ in range(ROUND_CUTS_KEPT + 1):
        await next_cut(bench)
    assert [blob.sha256 for blob in bench.store.held()] == [sha256(UPDATE)]


def test_a_damaged_blob_is_no_blob(bench: Bench) -> None:
    digest = bench.blobs.keep(UPDATE)
    path = bench.store.path(digest)
    assert path is not None
    path.write_bytes(b"damaged")
    assert bench.blobs.get(digest) is None
    assert not path.exists()
