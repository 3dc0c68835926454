"""Downloads of a version's files that the operator orders from the running node, one after another."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.machine import Machine
from p2pverify.node.blobs.fetcher import BlobFetcher, BlobProgress
from p2pverify.node.lines.documents import FetchDocument, FetchState
from p2pverify.node.lines.known import release_of, sources
from p2pverify.node.lines.report import LineReports
from p2pverify.node.user_error import UserError

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

log = logging.getLogger(__name__)
_NO_FILES = "its release names no files, so no peer can send them; get them from the publishers"
_GENESIS = "version 0 comes with the network, and no release names its files; get them from the publishers"
_RECALLED = "it is recalled, so no peer sends its files"
_REMEMBER = ", and name the weights with 'p2pverify model add FILE --unmeasured'"


@dataclass(slots=True)
class _Download:
    files: tuple[FileEntry, ...]
    state: FetchState = "waiting"
    file: str | None = None
    before: int = 0  # bytes of the files that are whole
    done: int = 0
    sources: int = 0
    reason: str | None = None


class VersionDownloads:
    """The downloads of this run, by line and number. `ready` is called when one is whole."""

    def __init__(self, machine: Machine, reports: LineReports, fetcher: BlobFetcher, ready: Callable[[], None]) -> None:
        self._machine = machine
        self._reports = reports
        self.fetcher = fetcher
        self._ready = ready
        self._found: dict[tuple[int, int], _Download] = {}
        self._changed = trio.Event()

    def order(self, name: str, number: int) -> FetchDocument:
        """Begin a download unless it waits, runs or is whole, and say how far it is. Raises UnknownVersion."""
        key = self._key(name, number)
        known = self._found.get(key)
        if known is None or known.state in ("failed", "whole"):
            self._found[key] = self._begin(*key)
            self._changed.set()
        return self.document(name, number)

    def document(self, name: str, number: int) -> FetchDocument:
        """How far a download is. Raises UnknownVersion."""
        key = self._key(name, number)
        found = self._found.get(key) or _Download((), "none")
        return FetchDocument(
            schema="p2pverify/fetch/1",
            line=self._machine.network.lines[key[0]].name,
            number=number,
            state=found.state,
            file=found.file,
            done=found.before + found.done,
            bytes=sum(file.size for file in found.files),
            sources=found.sources,
            reason=found.reason,
        )

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch what was ordered, until cancelled."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            for found in list(self._found.values()):
                if found.state == "waiting":
                    await self._fetch(found)
            await self._changed.wait()

    def _key(self, name: str, number: int) -> tuple[int, int]:
        index = self._reports.find_line(name)
        self._reports.find_version(index, number)
        return index, number

    def _begin(self, index: int, number: int) -> _Download:
        version = self._reports.find_version(index, number)
        if version is None:
            return _Download((), "failed", reason=_GENESIS + _REMEMBER)
        if version.is_recalled:
            return _Download((), "failed", reason=_RECALLED)
        release = release_of(self._machine, version)
        files = () if release is None else release.files
        if version.manifest in self._machine.context.held:
            return _Download(files, "whole", before=sum(file.size for file in files))
        return _Download(files) if files else _Download((), "failed", reason=_NO_FILES + _REMEMBER)

    async def _fetch(self, found: _Download) -> None:
        found.state = "fetching"

        def tell(at: BlobProgress) -> None:
            found.done, found.sources = at.done, at.sources

        for entry in found.files:
            found.file, found.done = entry.path, 0
            try:
                await self.fetcher.fetch(entry, sources(self._machine, entry.sha256), progress=tell)
            except UserError as error:
                log.warning("the download of %s has failed: %s", entry.path, error.reason)
                found.state, found.reason = "failed", f"{error.reason}; {error.hint}"
                return
            found.before, found.done = found.before + entry.size, 0
        found.state, found.file, found.sources = "whole", None, 0
        self._ready()
