"""Large files in `home/blobs`, each under its SHA-256, within a quota.

For a file `aa…` the folder `aa` has `aa…` (whole), `aa….part` (being fetched), `aa….chunks` (its chunk list) and
`aa….pin` (never deleted to make room). The names alone say what is there, so there is no index that could be wrong
after a crash, and two processes can share the folder. A partial file is hashed again when it is opened; a whole file
gets its name only after its bytes are on disk and have been hashed.

Files elsewhere on this machine can be served from their place: see `register`.
"""

import fcntl
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from p2pverify.core.blobs.chunks import ChunkList, chunk_bytes
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.node.blobs.ports import BlobKeeper, HeldBlob
from p2pverify.node.files.home import atomic_file
from p2pverify.store.blobs.measure import MeasuredFile, Stamp, bytes_at, measure_file
from p2pverify.store.blobs.partial import Partial
from p2pverify.store.errors import DISK_FULL, StoreError, translated

#: The disk keeps so much free for the database and everything else.
SPARE_BYTES = 64 * 1024 * 1024
_PART, _CHUNKS, _PIN = ".part", ".chunks", ".pin"
_NAME = re.compile(r"([0-9a-f]{64})(\.part|\.chunks|\.pin)?")
_TOUCH_NS = 60 * 10**9  # how often the time of the last use is written


@dataclass(frozen=True, slots=True)
class _OwnFile:
    path: Path
    stamp: Stamp
    chunks: bytes


@dataclass(slots=True)
class _Group:
    """The files of one SHA-256 in the store."""

    bytes: int = 0
    used_ns: int = 0
    pinned: bool = False
    is_whole: bool = False


class BlobStore(BlobKeeper):
    """The folder is made with its first file. `quota_bytes` bounds all files in it together."""

    def __init__(self, folder: Path, quota_bytes: int, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self.quota_bytes = quota_bytes
        self._now_ns = now_ns
        self._own: dict[bytes, _OwnFile] = {}
        self._fetching: dict[bytes, int] = {}  # the bytes that each download will take
        self._lock = threading.Lock()

    def register(self, path: Path) -> MeasuredFile:
        """See the port. Returns its digests. Raises StoreError."""
        found = measure_file(path)
        self._own[found.sha256] = _OwnFile(path, found.stamp, found.chunks.encode())
        return found

    # ------------------------------------------------------------ reading

    def path(self, sha256: bytes) -> Path | None:
        """See the port."""
        own = self._own.get(sha256)
        if own is not None and self._is_unchanged(own):
            return own.path
        place = self._place(sha256)
        return place if place.is_file() else None

    def read(self, sha256: bytes, offset: int, length: int) -> bytes | None:
        """See the port."""
        own = self._own.get(sha256)
        place = self._place(sha256) if own is None else own.path
        with translated(place):
            try:
                handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                if own is not None and Stamp.of(handle) != own.stamp:
                    self._own.pop(sha256, None)
                    return None
                if own is None:
                    self._touch(handle)
                data = bytes_at(handle, offset, length)
            finally:
                os.close(handle)
        return data if len(data) == length else None

    def chunk_list(self, sha256: bytes) -> bytes | None:
        """See the port."""
        own = self._own.get(sha256)
        if own is not None:
            return own.chunks
        place = self._place(sha256, _CHUNKS)
        with translated(place):
            try:
                return place.read_bytes()
            except FileNotFoundError:
                return None

    def held(self) -> tuple[HeldBlob, ...]:
        """See the port."""
        found = {
            digest: HeldBlob(digest, group.bytes, group.pinned, group.is_whole, is_own=False)
            for digest, group in self._groups().items()
        }
        for digest, own in list(self._own.items()):
            found[digest] = HeldBlob(digest, own.stamp.size, pinned=True, is_whole=True, is_own=True)
        return tuple(found[digest] for digest in sorted(found))

    def statistics(self) -> dict[str, int]:
        """See the port."""
        groups = self._groups().values()
        return {
            "held": sum(group.is_whole for group in groups) + len(self._own),
            "bytes": sum(group.bytes for group in groups),
            "quota": self.quota_bytes,
        }

    # ------------------------------------------------------------ changing

    def pin(self, sha256: bytes) -> None:
        """See the port. Raises StoreError."""
        place = self._place(sha256, _PIN)
        with self._lock, translated(place):
            if self._place(sha256).is_file():  # not one that is elsewhere on this machine
                place.touch(mode=0o600)
                _sync(place.parent)

    def unpin(self, sha256: bytes) -> None:
        """A file may be deleted again to make room. Raises StoreError."""
        place = self._place(sha256, _PIN)
        with translated(place):
            place.unlink(missing_ok=True)

    def delete(self, sha256: bytes) -> bool:
        """Delete a file, pinned or not, and what is left of its download. False if there was none. Raises StoreError.

        A download that is going on fails. A registered file stays where it is, and is served no more.
        """
        was_own = self._own.pop(sha256, None) is not None
        with self._lock:
            return self._delete(sha256) or was_own

    def begin(self, entry: FileEntry, chunks: ChunkList, *, pin: bool) -> Partial:
        """See the port. Raises StoreError, also if the file is being fetched already."""
        part = self._place(entry.sha256, _PART)
        with self._lock, translated(part):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.parent.mkdir(mode=0o700, exist_ok=True)
            _sync(self._folder)
            if entry.sha256 in self._fetching:
                raise _busy(entry)
            self._make_room(entry, chunks)
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if not _lock(handle):
                    raise _busy(entry)
                with atomic_file(self._place(entry.sha256, _CHUNKS), mode=0o600) as file:
                    file.write(chunks.encode())
            except BaseException:
                os.close(handle)
                raise
            self._fetching[entry.sha256] = entry.size
        let_go = partial(self._let_go, entry.sha256, handle)
        try:
            return Partial(part, handle, entry, chunks, name=partial(self._name, entry, pin=pin), let_go=let_go)
        except BaseException:
            let_go()
            raise

    def keep(self, data: bytes) -> bytes:
        """See the port. Raises StoreError."""
        sha256 = hashlib.sha256(data).digest()
        if self.path(sha256) is None:
            each = chunk_bytes(len(data))
            pieces = [data[at : at + each] for at in range(0, len(data), each)]
            chunks = ChunkList(len(data), tuple(hashlib.sha256(piece).digest() for piece in pieces))
            part = self.begin(FileEntry(sha256.hex(), len(data), sha256, chunks.digest), chunks, pin=False)
            try:
                for chunk, piece in enumerate(pieces):
                    part.write(chunk, piece)
                part.finish()
            finally:
                part.close()
        return sha256

    # ------------------------------------------------------------ inside

    def _place(self, sha256: bytes, suffix: str = "") -> Path:
        name = sha256.hex()
        return self._folder / name[:2] / (name + suffix)

    def _name(self, entry: FileEntry, *, pin: bool) -> Path:
        """Give a whole partial file its name."""
        place = self._place(entry.sha256)
        with self._lock, translated(place):
            if pin:
                self._place(entry.sha256, _PIN).touch(mode=0o600)
            self._place(entry.sha256, _PART).rename(place)
            _sync(place.parent)
        return place

    def _let_go(self, sha256: bytes, handle: int) -> None:
        with self._lock:
            self._fetching.pop(sha256, None)
            os.close(handle)

    def _is_fetched(self, sha256: bytes) -> bool:
        """Whether this process or another one fetches a file now."""
        if sha256 in self._fetching:
            return True
        try:
            handle = os.open(self._place(sha256, _PART), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(handle)
        finally:
            os.close(handle)

    def _is_unchanged(self, own: _OwnFile) -> bool:
        with suppress(OSError):
            status = own.path.stat()
            return Stamp(status.st_size, status.st_mtime_ns, status.st_ino) == own.stamp
        return False

    def _touch(self, handle: int) -> None:
        """The time of the last change of a stored file is that of its last use."""
        now = self._now_ns()
        if now - os.fstat(handle).st_mtime_ns >= _TOUCH_NS:
            with suppress(OSError):  # on a disk that is read-only now
                os.utime(handle, ns=(now, now))

    def _groups(self) -> dict[bytes, _Group]:
        found: dict[bytes, _Group] = {}
        with translated(self._folder):
            for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
                match = _NAME.fullmatch(path.name)
                if match is None:
                    continue
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                group = found.setdefault(bytes.fromhex(match[1]), _Group())
                group.bytes += status.st_size
                group.used_ns = max(group.used_ns, status.st_mtime_ns)
                group.pinned |= match[2] == _PIN
                group.is_whole |= match[2] is None
        return found

    def _make_room(self, entry: FileEntry, chunks: ChunkList) -> None:
        """Delete files until this one fits. Nothing is deleted if that would not be enough."""
        groups = self._groups()
        begun = groups.pop(entry.sha256, _Group()).bytes
        taken = sum(max(group.bytes, self._fetching.get(digest, 0)) for digest, group in groups.items())
        excess = taken + entry.size + len(chunks.encode()) - self.quota_bytes
        # Interrupted downloads go first, then whole files by their last use.
        others = [digest for digest, group in groups.items() if not group.pinned and not self._is_fetched(digest)]
        others.sort(key=lambda digest: (groups[digest].is_whole, groups[digest].used_ns))
        going = []
        for digest in others:
            if excess <= 0:
                break
            going.append(digest)
            excess -= groups[digest].bytes
        if excess > 0:
            raise StoreError(
                f"{entry.path} does not fit: it has {entry.size} bytes, and {excess} of them are beyond the quota of "
                f"{self.quota_bytes}",
                "raise blobs.quota_gb in config.toml, or delete files that are kept",
                fatal=False,
            )
        freed = sum(groups[digest].bytes for digest in going)
        if shutil.disk_usage(self._folder).free + freed + begun < entry.size + SPARE_BYTES:
            raise StoreError(f"{DISK_FULL}: {entry.path} has {entry.size} bytes", "free some space", fatal=False)
        for digest in going:
            self._delete(digest)

    def _delete(self, sha256: bytes) -> bool:
        place = self._place(sha256)
        with translated(place):
            files = [self._place(sha256, suffix) for suffix in ("", _PART, _CHUNKS, _PIN)]
            there = [path for path in files if path.exists()]
            for path in there:
                path.unlink(missing_ok=True)
            if there:
                _sync(place.parent)
        return bool(there)


def _lock(handle: int) -> bool:
    """Lock a partial file against other processes. False if another one has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy(entry: FileEntry) -> StoreError:
    return StoreError(f"{entry.path} is being fetched already", "wait until that has ended", fatal=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
