"""What this node serves to other peers: the files that counted records name, as far as they are on this machine."""

import logging
from collections.abc import Mapping
from functools import partial

import trio

from p2pverify.core.blobs.chunks import list_bytes
from p2pverify.core.blobs.messages import BlobRefused, BlobStatus
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.encoding.canon import sha256 as digest_of
from p2pverify.node.blobs.ports import Allowed, BlobKeeper, RoundBlobSource
from p2pverify.node.ports import BlobSource
from p2pverify.node.user_error import UserError

READERS_MAX = 4
_INVENTED = b"\xa5"

log = logging.getLogger(__name__)


class BlobServer(BlobSource):
    """Reads in threads, at most READERS_MAX at a time."""

    def __init__(self, keeper: BlobKeeper, allowed: Allowed) -> None:
        self._keeper = keeper
        self._allowed = allowed
        self._readers = trio.CapacityLimiter(READERS_MAX)
        self._lists: tuple[Mapping[bytes, FileEntry], dict[bytes, FileEntry]] = ({}, {})

    async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
        """See the port."""
        del is_member  # files are for everybody
        named = self._allowed()
        entry, is_list = named.get(sha256), False
        if entry is None:
            entry, is_list = self._by_list(named, sha256), True
        if offset + length > (list_bytes(entry.size) if is_list else entry.size):
            raise BlobRefused(BlobStatus.BEYOND)
        read = partial(self._read_list, entry) if is_list else partial(self._keeper.read, sha256)
        try:
            data = await trio.to_thread.run_sync(read, offset, length, limiter=self._readers)
        except UserError as error:
            log.warning("a file cannot be served: %s", error.reason)
            data = None
        if data is None:
            raise BlobRefused(BlobStatus.NOT_SERVED)
        return data

    def _by_list(self, named: Mapping[bytes, FileEntry], chunks: bytes) -> FileEntry:
        """The file of a chunk list. Raises BlobRefused."""
        if self._lists[0] is not named:
            self._lists = (named, {entry.chunks: entry for entry in named.values()})
        try:
            return self._lists[1][chunks]
        except KeyError:
            raise BlobRefused(BlobStatus.UNKNOWN) from None

    def _read_list(self, entry: FileEntry, offset: int, length: int) -> bytes | None:
        data = self._keeper.chunk_list(entry.sha256)
        return data[offset : offset + length] if data is not None and digest_of(data) == entry.chunks else None


class RoundBlobServer(BlobSource):
    """Serves the blobs of training rounds to members, from a folder of their own, and otherwise what `files` serves.

    Without `files` this node serves no files of models.
    """

    def __init__(self, rounds: RoundBlobSource, files: BlobSource | None) -> None:
        self._rounds = rounds
        self._files = files
        self._readers = trio.CapacityLimiter(READERS_MAX)

    async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
        """See the port."""
        if not (is_member and self._rounds.is_served(sha256)):
            if self._files is None:
                raise BlobRefused(BlobStatus.UNKNOWN)
            return await self._files.read(sha256, offset, length, is_member=is_member)
        try:
            data = await trio.to_thread.run_sync(self._rounds.read, sha256, offset, length, limiter=self._readers)
        except UserError as error:
            log.warning("a blob of a round cannot be served: %s", error.reason)
            data = None
        if data is None:
            raise BlobRefused(BlobStatus.NOT_SERVED)
        return data


class InventingServer(BlobServer):
    """Serves invented bytes of every named file, held or not: a cheat for testnets.

    A chunk list that it has is right, so that others ask it for chunks.
    """

    async def read(self, sha256: bytes, offset: int, length: int, *, is_member: bool = False) -> bytes:
        """See the port."""
        entry = self._allowed().get(sha256)
        if entry is None:
            try:
                return await super().read(sha256, offset, length, is_member=is_member)
            except BlobRefused as refused:
                if refused.status is not BlobStatus.NOT_SERVED:
                    raise
        elif offset + length > entry.size:
            raise BlobRefused(BlobStatus.BEYOND)
        return _INVENTED * length
