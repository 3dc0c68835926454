"""A node's part in files from peers: what it serves, if its operator wants that, what it fetches, and what it holds."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from p2pverify.core.counters import Counters
from p2pverify.node.blobs.fetcher import BlobFetcher
from p2pverify.node.blobs.ports import Allowed, BlobKeeper
from p2pverify.node.blobs.serving import BlobServer
from p2pverify.node.ports import BlobPort
from p2pverify.node.reports.documents.blobs import BlobDocument, BlobsDocument
from p2pverify.node.user_error import UserError

MEGABYTE = 10**6
GIGABYTE = 10**9

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlobSettings:
    """Whether other peers are served, and at how many bytes a second; and the bytes that fetched files may take."""

    serve: bool = False
    upload_bytes_per_s: int = 32 * MEGABYTE
    quota_bytes: int = 20 * GIGABYTE


NO_SERVING = BlobSettings()


class BlobFiles:
    """The files of one node. `allowed` says which may be fetched and served."""

    def __init__(self, keeper: BlobKeeper, allowed: Allowed, settings: BlobSettings) -> None:
        self.keeper = keeper
        self._allowed = allowed
        self._settings = settings
        self._counters = Counters()
        self.server = BlobServer(keeper, allowed) if settings.serve else None

    def fetcher(self, port: BlobPort) -> BlobFetcher:
        """What fetches files over a network."""
        return BlobFetcher(port, self.keeper, self._allowed, self._counters)

    async def serve_own(self, paths: Sequence[Path]) -> None:
        """Serve files from their places on this machine, if this node serves any. They are hashed first."""
        for path in paths:
            await self.serve_file(path)

    async def serve_file(self, path: Path) -> None:
        """Serve one file from its place, if this node serves any."""
        if not self._settings.serve:
            return
        try:
            await trio.to_thread.run_sync(self.keeper.register, path)
        except UserError as error:
            log.warning("%s is not served: %s", path, error.reason)

    async def document(self) -> BlobsDocument:
        """All files. Raises UserError if the disk cannot be read."""
        held = await trio.to_thread.run_sync(self.keeper.held)
        named, serves = self._allowed(), self._settings.serve
        return BlobsDocument(
            schema="p2pverify/blobs/1",
            serves=serves,
            bytes=sum(blob.bytes for blob in held if not blob.is_own),
            quota_bytes=self._settings.quota_bytes,
            blobs=tuple(
                BlobDocument(
                    sha256=blob.sha256.hex(),
                    path=named[blob.sha256].path if blob.sha256 in named else None,
                    bytes=blob.bytes,
                    whole=blob.is_whole,
                    pinned=blob.pinned,
                    own=blob.is_own,
                    served=serves and blob.is_whole and blob.sha256 in named,
                )
                for blob in held
            ),
        )

    def statistics(self) -> dict[str, int]:
        """What was counted, and what is held; nothing of a disk that cannot be read."""
        try:
            return {**self._counters, **self.keeper.statistics()}
        except UserError:
            return dict(self._counters)
