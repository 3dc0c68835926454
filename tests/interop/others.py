"""Peers of other implementations. Each is a process that takes commands and reports events, one line of JSON each.

Commands: `dial` (address), `publish` (data, in hex), `vector` (file, place: publish the record of that case). Events:
`listening` (address), `identified` (peer, protocols), `pinged` (peer), `mesh` (peers: all current members of its mesh),
`message` (data, in hex), `gone` (peer: the connection has ended), `failed` (command, reason).
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import trio

from tests.interop import javascript

Event = dict[str, Any]
LINE_BYTES_MAX = 4 * 1024 * 1024


class Other:
    """One such process."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._events: list[Event] = []
        self._changed = trio.Event()
        self.ended = False

    @property
    def address(self) -> str:
        return str(self.all("listening")[0]["address"])

    @property
    def peer(self) -> str:
        """Its peer id."""
        return self.address.rpartition("/")[2]

    async def say(self, command: str, **fields: object) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps({"command": command, **fields}).encode() + b"\n")

    def all(self, event: str, **fields: object) -> list[Event]:
        """All events so far with this name and these fields."""
        return [each for each in self._events if _matches(each, event, fields)]

    async def wait(self, event: str, **fields: object) -> Event:
        """The first event with this name and these fields, as soon as it is reported."""
        await self._until(lambda: bool(self.all(event, **fields)))
        return self.all(event, **fields)[0]

    async def wait_mesh(self, *peers: str) -> None:
        """Wait until its mesh has exactly these members."""
        await self._until(lambda: self._mesh() == sorted(peers))

    def _mesh(self) -> object:
        told = self.all("mesh")
        return told[-1]["peers"] if told else []

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            assert not self.ended, f"the process ended with {self._process.returncode}"
            await self._changed.wait()

    async def listen(self) -> None:
        """Take events until the process ends."""
        assert self._process.stdout is not None
        buffer = b""
        async for chunk in self._process.stdout:
            *lines, buffer = (buffer + chunk).split(b"\n")
            assert len(buffer) < LINE_BYTES_MAX
            self._events += map(json.loads, lines)
            self._wake()
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _matches(found: Event, event: str, fields: Event) -> bool:
    return found["event"] == event and fields.items() <= found.items()


@contextlib.asynccontextmanager
async def started(implementation: str, topic: str, directory: Path) -> AsyncIterator[Other]:
    """A peer of js-libp2p ("js") or py-libp2p ("py") that listens and is subscribed. It ends with the block."""
    command = [sys.executable, "-m", "tests.interop.library_peer", topic]
    if implementation == "js":
        command = await trio.to_thread.run_sync(javascript.command, javascript.FOLDER / "peer.mjs", directory)
        command.append(topic)
    async with _running(command) as other:
        yield other


@contextlib.asynccontextmanager
async def circuit(role: str, directory: Path, *arguments: str) -> AsyncIterator[Other]:
    """A peer of js-libp2p for circuits: see circuit.mjs for its roles. It ends with the block.

    Its further commands are `echo` (peer, bytes); its further events `dialled` (peer, limited) and `echoed` (bytes).
    """
    command = await trio.to_thread.run_sync(javascript.command, javascript.FOLDER / "circuit.mjs", directory)
    async with _running([*command, role, *arguments]) as other:
        yield other


@contextlib.asynccontextmanager
async def _running(command: list[str]) -> AsyncIterator[Other]:
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other = Other(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.listen)
            await other.wait("listening")
            yield other
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
