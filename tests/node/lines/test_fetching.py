"""Downloads that the operator orders, one after another."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.node.blobs.fetcher import BlobProgress, FetchError
from p2pverify.node.lines.fetching import VersionDownloads
from p2pverify.node.ports import UnknownVersion
from tests.node.lines.test_line_reports import Told
from tests.support.lines import manifest_of


class SlowFetcher:
    """Fetches each file when it is told to, or fails."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.half, self.go = trio.Event(), trio.Event()
        self.fails = False

    async def fetch(self, entry: FileEntry, _peers: list[bytes], *, progress: Any) -> Path:
        self.asked.append(entry.path)
        progress(BlobProgress(entry.size // 2, entry.size, 3))
        self.half.set()
        await self.go.wait()
        if self.fails:
            raise FetchError("no peer has it", "try again")
        return Path(entry.path)


def released(story: Told, number: int, *paths: str) -> None:
    weights = manifest_of(number).weights
    files = [FileEntry(path, 100, weights if n == 0 else bytes([n]) * 32, bytes(32)) for n, path in enumerate(paths)]
    story.release(number, files=tuple(files))
    story.tell()


def downloads(story: Told, fetcher: SlowFetcher, ready: list[int]) -> VersionDownloads:
    reports = story.reports()
    machine: Any = reports._machine
    machine.context.secret = lambda *_: b""
    given: Any = fetcher
    return VersionDownloads(machine, reports, given, lambda: ready.append(1))


async def test_all_files_of_a_version_are_fetched() -> None:
    """A second order joins a running one, and another version waits for its turn."""
    story, fetcher, ready = Told(), SlowFetcher(), list[int]()
    released(story, 1, "a.gguf", "b.txt")
    released(story, 2, "c.gguf")
    made = downloads(story, fetcher, ready)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        assert made.document("story", 1).state == "none"
        assert made.order("story", 1).state == "waiting"
        await fetcher.half.wait()
        found = made.order("story", 1)
        assert (found.state, found.file, found.done, found.bytes, found.sources) == ("fetching", "a.gguf", 50, 200, 3)
        assert made.order("story", 2).state == "waiting"
        fetcher.go.set()
        await trio.testing.wait_all_tasks_blocked()
        assert fetcher.asked == ["a.gguf", "b.txt", "c.gguf"]
        for number in (1, 2):
            found = made.document("story", number)
            assert (found.state, found.done, found.reason) == ("whole", found.bytes, None)
        assert ready == [1, 1]
        nursery.cancel_scope.cancel()


async def test_a_download_that_failed_is_begun_again() -> None:
    story, fetcher, ready = Told(), SlowFetcher(), list[int]()
    released(story, 1, "a.gguf")
    made = downloads(story, fetcher, ready)
    fetcher.fails = True
    fetcher.go.set()
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        made.order("story", 1)
        await trio.testing.wait_all_tasks_blocked()
        found = made.document("story", 1)
        assert (found.state, found.reason, ready) == ("failed", "no peer has it; try again", [])
        fetcher.fails = False
        made.order("story", 1)
        await trio.testing.wait_all_tasks_blocked()
        assert made.document("story", 1).state == "whole"
        nursery.cancel_scope.cancel()


def test_a_version_that_is_here_is_not_fetched() -> None:
    story = Told()
    released(story, 1, "a.gguf")
    story.held.add(manifest_of(1).digest)
    found = downloads(story, SlowFetcher(), []).order("story", 1)
    assert (found.state, found.done, found.bytes) == ("whole", 100, 100)


def test_what_nobody_can_send_is_said_at_once() -> None:
    story = Told()
    story.release(1)
    story.tell()
    released(story, 2, "c.gguf")
    story.recall(2, back_to=1)
    story.tell()
    made = downloads(story, SlowFetcher(), [])
    reasons = [made.order("story", number).reason or "" for number in (0, 1, 2)]
    assert ["version 0" in reasons[0], "no files" in reasons[1], "recalled" in reasons[2]] == [True] * 3
    with pytest.raises(UnknownVersion):
        made.order("story", 3)
