"""Files of models on disk: whole or not there, within the quota, and resumed after an interruption."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pverify.core.blobs.chunks import ChunkList, read_chunk_list
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.store.blobs import store as module
from p2pverify.store.blobs.measure import measure_file
from p2pverify.store.blobs.store import BlobStore
from p2pverify.store.errors import StoreError
from tests.support.blobs import MIB, Blob, make_blob

SMALL = 2 * MIB + 100
QUOTA = 4 * MIB


class Clock:
    """Nanoseconds, a day later at each reading."""

    def __init__(self) -> None:
        self.now = 2 * 10**18  # later than the files of the test

    def __call__(self) -> int:
        self.now += 86_400 * 10**9
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", QUOTA, now_ns=Clock())


def chunks_of(blob: Blob) -> ChunkList:
    return measure_file(blob.path).chunks


def put(store: BlobStore, blob: Blob, *, pin: bool = False, only: int | None = None) -> None:
    """Write a file chunk by chunk, or only its first chunks."""
    chunks = chunks_of(blob)
    part = store.begin(blob.entry, chunks, pin=pin)
    try:
        for chunk in sorted(part.missing)[:only]:
            offset, length = chunks.span(chunk)
            assert part.write(chunk, blob.data[offset : offset + length])
        if only is None:
            part.finish()
    finally:
        part.close()


def whole(store: BlobStore) -> set[bytes]:
    return {held.sha256 for held in store.held() if held.is_whole}


def files(tmp_path: Path, count: int, size: int = MIB) -> list[Blob]:
    return [make_blob(tmp_path, size, seed=seed, name=f"{seed}.gguf") for seed in range(count)]


@pytest.mark.parametrize("size", [0, 1, MIB, SMALL])
def test_a_file_is_whole_or_not_there(store: BlobStore, tmp_path: Path, size: int) -> None:
    blob = make_blob(tmp_path, size)
    digest = blob.entry.sha256
    chunks = chunks_of(blob)
    part = store.begin(blob.entry, chunks, pin=False)
    for chunk in range(len(chunks.hashes)):
        assert store.path(digest) is None
        assert store.read(digest, 0, 1) is None
        offset, length = chunks.span(chunk)
        assert part.write(chunk, blob.data[offset : offset + length])
    path = part.finish()
    part.close()
    part.close()
    assert path == store.path(digest)
    assert path.read_bytes() == blob.data
    assert path.parent.name == digest.hex()[:2]
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_chunk_list(blob.entry, store.chunk_list(digest) or b"").digest == blob.entry.chunks


def test_reads(store: BlobStore, tmp_path: Path) -> None:
    """Exactly so many bytes, or nothing."""
    blob = make_blob(tmp_path, SMALL)
    put(store, blob)
    digest = blob.entry.sha256
    assert store.read(digest, 7, 1000) == blob.data[7:1007]
    assert store.read(digest, SMALL - 1, 1) == blob.data[-1:]
    assert store.read(digest, SMALL - 1, 2) is None
    assert store.read(bytes(32), 0, 1) is None
    assert store.chunk_list(bytes(32)) is None


def test_a_false_chunk_is_not_written(store: BlobStore, tmp_path: Path) -> None:
    """The disk does not see it, nor does a right chunk in a wrong place."""
    blob = make_blob(tmp_path, SMALL)
    part = store.begin(blob.entry, chunks_of(blob), pin=False)
    first = blob.data[:MIB]
    for chunk, data in ((0, bytes(MIB)), (0, first[:-1]), (0, first + b"x"), (1, first), (0, b"")):
        assert not part.write(chunk, data)
    assert part.missing == {0, 1, 2}
    part.close()
    (place,) = store._folder.glob("*/*.part")
    assert place.stat().st_size == 0


def test_a_download_goes_on_where_it_was_interrupted(store: BlobStore, tmp_path: Path) -> None:
    """Another process finds what is there by hashing it, and what was damaged meanwhile is fetched again."""
    blob = make_blob(tmp_path, 3 * MIB + 3)
    put(store, blob, only=2)
    again = BlobStore(store._folder, QUOTA)
    assert [(held.is_whole, held.pinned) for held in again.held()] == [(False, False)]
    part = again.begin(blob.entry, chunks_of(blob), pin=False)
    assert part.missing == {2, 3}
    part.close()
    (place,) = store._folder.glob("*/*.part")
    with place.open("r+b") as file:
        file.seek(5)
        file.write(b"\0\0\0\0")
        file.seek(0, os.SEEK_END)
        file.write(bytes(2 * MIB))  # beyond the end
    put(again, blob)
    assert whole(again) == {blob.entry.sha256}
    assert again.read(blob.entry.sha256, 0, 3 * MIB + 3) == blob.data


def test_a_killed_process_leaves_a_download_that_goes_on(store: BlobStore, tmp_path: Path) -> None:
    """It holds no lock any more, and its chunks count."""
    blob = make_blob(tmp_path, SMALL)
    program = """
import os, sys
from pathlib import Path
from p2pverify.store.blobs.measure import measure_file
from p2pverify.store.blobs.store import BlobStore
path = Path(sys.argv[1])
found = measure_file(path)
part = BlobStore(Path(sys.argv[2]), 1 << 30).begin(found.entry("a"), found.chunks, pin=True)
part.write(1, path.read_bytes()[1 << 20 : 2 << 20])
print("written", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(blob.path), str(store._folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        with pytest.raises(StoreError, match="being fetched already"):
            store.begin(blob.entry, chunks_of(blob), pin=False)
        process.kill()
    part = store.begin(blob.entry, chunks_of(blob), pin=False)
    assert part.missing == {0, 2}
    part.close()


def test_one_download_of_a_file_at_a_time(store: BlobStore, tmp_path: Path) -> None:
    blob = make_blob(tmp_path, SMALL)
    part = store.begin(blob.entry, chunks_of(blob), pin=False)
    with pytest.raises(StoreError, match="being fetched already"):
        store.begin(blob.entry, chunks_of(blob), pin=False)
    part.close()
    put(store, blob)


def test_the_least_recently_used_file_makes_room(store: BlobStore, tmp_path: Path) -> None:
    """A file that was read lately stays, and so does a pinned one."""
    first, second, third, fourth, fifth = files(tmp_path, 5)
    put(store, first, pin=True)
    put(store, second)
    put(store, third)
    for digest in (second.entry.sha256, third.entry.sha256, second.entry.sha256):
        assert store.read(digest, 0, 1) is not None
    put(store, fourth)
    assert whole(store) == {first.entry.sha256, second.entry.sha256, fourth.entry.sha256}
    assert store.chunk_list(third.entry.sha256) is None
    store.read(fourth.entry.sha256, 0, 1)
    store.unpin(first.entry.sha256)
    store.pin(second.entry.sha256)
    put(store, fifth)
    assert whole(store) == {second.entry.sha256, fourth.entry.sha256, fifth.entry.sha256}
    assert sum(held.bytes for held in store.held()) <= store.quota_bytes


def test_an_interrupted_download_goes_before_whole_files(store: BlobStore, tmp_path: Path) -> None:
    first, second, third = files(tmp_path, 3, 3 * MIB // 2)
    put(store, first)
    put(store, second, only=1)
    put(store, third)
    assert whole(store) == {first.entry.sha256, third.entry.sha256}
    assert len(store.held()) == 2


def test_a_download_that_goes_on_keeps_its_room(store: BlobStore, tmp_path: Path) -> None:
    """Its whole size counts from the beginning, and it is not deleted for another one."""
    first, second = files(tmp_path, 2, 5 * MIB // 2)
    part = store.begin(first.entry, chunks_of(first), pin=False)
    with pytest.raises(StoreError, match="does not fit"):
        store.begin(second.entry, chunks_of(second), pin=False)
    part.close()
    put(store, second)


def test_what_can_not_fit_deletes_nothing(store: BlobStore, tmp_path: Path) -> None:
    kept, cached = files(tmp_path, 2)
    put(store, kept, pin=True)
    put(store, cached)
    huge = ChunkList(QUOTA - MIB, (bytes(32),) * 3)
    with pytest.raises(StoreError, match="beyond the quota") as caught:
        store.begin(FileEntry("huge", huge.size, bytes(32), huge.digest), huge, pin=False)
    assert "blobs.quota_gb" in caught.value.hint
    assert not caught.value.fatal
    assert len(whole(store)) == 2


def test_a_full_disk_is_an_error_with_advice(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the download, and in the middle of it; the chunks that are there stay."""
    blob = make_blob(tmp_path, SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(module, "SPARE_BYTES", 1 << 60)
        with pytest.raises(StoreError, match="disk or the quota is full"):
            store.begin(blob.entry, chunks_of(blob), pin=False)
    part = store.begin(blob.entry, chunks_of(blob), pin=False)
    assert part.write(0, blob.data[:MIB])

    def refuse(_handle: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        with pytest.raises(StoreError, match="disk or the quota is full") as caught:
            part.write(1, blob.data[MIB : 2 * MIB])
    assert "free some space" in caught.value.hint
    assert part.missing == {1, 2}
    part.close()
    put(store, blob)


def test_a_chunk_list_of_another_file_gives_no_file(store: BlobStore, tmp_path: Path) -> None:
    """All chunks are right and the whole is not: the publisher has named two things that do not belong together."""
    blob = make_blob(tmp_path, SMALL)
    entry = FileEntry("model.gguf", SMALL, bytes(32), blob.entry.chunks)
    chunks = chunks_of(blob)
    part = store.begin(entry, chunks, pin=True)
    for chunk in range(3):
        offset, length = chunks.span(chunk)
        assert part.write(chunk, blob.data[offset : offset + length])
    with pytest.raises(StoreError, match="not the file that its release names"):
        part.finish()
    part.close()
    assert whole(store) == set()


def test_deleting(store: BlobStore, tmp_path: Path) -> None:
    """Pinned or not, whole or not, everything of a file goes."""
    one, two = files(tmp_path, 2, MIB + 1)
    put(store, one, pin=True)
    put(store, two, only=1)
    assert store.delete(one.entry.sha256)
    assert store.delete(two.entry.sha256)
    assert not store.delete(two.entry.sha256)
    assert store.held() == ()
    assert [path for path in store._folder.rglob("*") if path.is_file()] == []


def test_a_file_elsewhere_is_served_from_its_place_until_it_changes(store: BlobStore, tmp_path: Path) -> None:
    blob = make_blob(tmp_path, SMALL)
    store.register(blob.path)
    digest = blob.entry.sha256
    assert store.path(digest) == blob.path
    assert store.read(digest, 3, 5) == blob.data[3:8]
    assert read_chunk_list(blob.entry, store.chunk_list(digest) or b"").size == SMALL
    (held,) = store.held()
    assert (held.is_own, held.is_whole, held.pinned, held.bytes) == (True, True, True, SMALL)
    store.pin(digest)
    assert not store._folder.exists()
    with blob.path.open("r+b") as file:
        file.write(b"another")
    assert store.path(digest) is None
    assert store.read(digest, 3, 5) is None
    assert store.held() == ()
    assert store.chunk_list(digest) is None


def test_a_file_that_is_not_there_can_not_be_registered(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        store.register(tmp_path / "absent")


def test_other_files_in_the_folder_are_no_blobs(store: BlobStore, tmp_path: Path) -> None:
    blob = make_blob(tmp_path, 100)
    put(store, blob)
    folder = store._folder / "aa"
    folder.mkdir(exist_ok=True)
    for name in ("notes.txt", "a" * 64 + ".gguf", "A" * 64, "." + "a" * 64):
        (folder / name).write_text("x")
    assert [held.sha256 for held in store.held()] == [blob.entry.sha256]


@pytest.mark.parametrize("size", [0, 11, MIB + 1])
def test_bytes_that_were_made_here_are_kept(store: BlobStore, size: int) -> None:
    """As any other file: under their SHA-256, with a chunk list, not pinned, and only once."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    digest = store.keep(data)
    assert digest == hashlib.sha256(data).digest() == store.keep(data)
    path = store.path(digest)
    assert path is not None
    assert path.read_bytes() == data
    assert [(blob.sha256, blob.pinned, blob.is_whole) for blob in store.held()] == [(digest, False, True)]
