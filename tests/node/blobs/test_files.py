"""A node's files of models: what it serves now, and what it tells of them."""

from pathlib import Path

import pytest
from p2pverify.core.contract.files import FileEntry

from p2pverify.core.blobs.chunks import list_bytes
from p2pverify.core.blobs.messages import BlobRefused, BlobStatus
from p2pverify.node.blobs.files import BlobFiles, BlobSettings
from p2pverify.node.blobs.serving import BlobServer
from p2pverify.store.blobs.store import BlobStore
from p2pverify.store.errors import StoreError
from tests.support.blobs import MIB, Blob, make_blob

SIZE = MIB + 7
QUOTA = 10 * MIB


@pytest.fixture
def blob(tmp_path: Path) -> Blob:
    return make_blob(tmp_path, SIZE)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", QUOTA)


async def status(server: BlobServer, sha256: bytes, offset: int = 0, length: int = 1) -> BlobStatus:
    """With what a request is answered."""
    try:
        assert len(await server.read(sha256, offset, length)) == length
    except BlobRefused as refused:
        return refused.status
    return BlobStatus.OK


async def test_what_is_served_follows_the_records(blob: Blob, store: BlobStore) -> None:
    """A file that a record names is served from then on, with its chunk list, and no longer than it is named."""
    named: dict[bytes, FileEntry] = {}
    server = BlobServer(store, lambda: named)
    store.register(blob.path)
    entry = blob.entry
    for sha256 in (entry.sha256, entry.chunks):
        assert await status(server, sha256) is BlobStatus.UNKNOWN
    named = blob.allowed
    assert await server.read(entry.sha256, 3, 10) == blob.data[3:13]
    assert await status(server, entry.chunks, 0, list_bytes(SIZE)) is BlobStatus.OK
    assert await status(server, entry.chunks, 1, list_bytes(SIZE)) is BlobStatus.BEYOND
    assert await status(server, entry.sha256, SIZE) is BlobStatus.BEYOND
    named = {}
    for sha256 in (entry.sha256, entry.chunks):
        assert await status(server, sha256) is BlobStatus.UNKNOWN


async def test_a_list_that_is_not_the_one_of_the_record_is_not_served(blob: Blob, store: BlobStore) -> None:
    """The record names another chunk list for the file: serving ours under its name would be a lie."""
    store.register(blob.path)
    named = {blob.entry.sha256: FileEntry("a", SIZE, blob.entry.sha256, b"\1" * 32)}
    server = BlobServer(store, lambda: named)
    assert await status(server, b"\1" * 32) is BlobStatus.NOT_SERVED
    assert await status(server, blob.entry.sha256) is BlobStatus.OK


async def test_a_disk_that_fails_serves_nothing(
    blob: Blob, store: BlobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> bytes:
        raise StoreError("the disk failed", "check it")

    allowed = blob.allowed
    monkeypatch.setattr(store, "read", fail)
    assert await status(BlobServer(store, lambda: allowed), blob.entry.sha256) is BlobStatus.NOT_SERVED
    assert "the disk failed" in caplog.text


async def test_own_weights_are_served_without_a_copy(
    blob: Blob, store: BlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be read is left out with a warning. Nothing is hashed where nothing is served."""
    allowed = blob.allowed
    silent = BlobFiles(store, lambda: allowed, BlobSettings())
    assert silent.server is None
    await silent.serve_own([blob.path])
    assert store.held() == ()
    serving = BlobFiles(store, lambda: allowed, BlobSettings(serve=True, quota_bytes=QUOTA))
    assert serving.server is not None
    await serving.serve_own([tmp_path / "absent", blob.path])
    assert "absent" in caplog.text
    assert await status(serving.server, blob.entry.sha256) is BlobStatus.OK
    document = await serving.document()
    (shown,) = document.blobs
    assert (document.serves, document.bytes, document.quota_bytes) == (True, 0, QUOTA)
    assert (shown.sha256, shown.path, shown.bytes) == (blob.entry.sha256.hex(), "model.gguf", SIZE)
    assert (shown.whole, shown.own, shown.served, shown.pinned) == (True, True, True, True)
    assert [held.served for held in (await silent.document()).blobs] == [False]
    assert serving.statistics() == {"held": 1, "bytes": 0, "quota": QUOTA}


async def test_a_part_of_a_file_is_shown_and_not_served(blob: Blob, store: BlobStore) -> None:
    allowed = blob.allowed
    files = BlobFiles(store, lambda: allowed, BlobSettings(serve=True))
    found = store.register(blob.path)
    store.delete(blob.entry.sha256)
    part = store.begin(blob.entry, found.chunks, pin=True)
    assert part.write(0, blob.data[:MIB])
    part.close()
    (shown,) = (await files.document()).blobs
    assert (shown.whole, shown.own, shown.served, shown.pinned) == (False, False, False, False)
    assert shown.bytes == MIB + list_bytes(SIZE)
    assert files.server is not None
    assert await status(files.server, blob.entry.sha256) is BlobStatus.NOT_SERVED


def test_figures_of_an_unreadable_disk_are_left_out(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, int]:
        raise StoreError("the disk failed", "check it")

    monkeypatch.setattr(store, "statistics", fail)
    assert BlobFiles(store, dict, BlobSettings()).statistics() == {}
