"""The peers as operating-system processes: starting, signalling and ending them by name, through the spawner.

`spawner` says why there is a spawner, and how it ensures that no process survives the runner. `runner` decides what the
processes do.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2pverify.node.user_error import UserError

GRACE_S = 4.0  # between SIGTERM and SIGKILL
_SPAWNER_END_S = 10.0
_READ_BYTES = 65_536
_TAIL_BYTES = 4096
_TAIL_LINES = 12
_PORTS_FROM = 10_240
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class ProcessError(UserError):
    """A process ended too early. `reason` names it, `hint` says where to look, `tail` is the end of its log."""

    def __init__(self, reason: str, hint: str, tail: str = "") -> None:
        super().__init__(reason, hint)
        self.tail = tail


class _Process:
    __slots__ = ("code", "ended", "log", "may_end", "pid", "started")

    def __init__(self, log: Path) -> None:
        self.log = log
        self.pid = 0
        self.code: int | None = None
        self.started = trio.Event()
        self.ended = trio.Event()
        self.may_end = False

    def end(self, code: int) -> None:
        """Note that the process has ended. Only the first call counts."""
        if self.code is None:
            self.code = code
            self.started.set()
            self.ended.set()


class Fleet:
    """Processes by name. A name can be started again once its process has ended."""

    def __init__(self, spawner: trio.Process) -> None:
        self._spawner = spawner
        self._processes: dict[str, _Process] = {}
        self._sending = trio.Lock()
        self._loaded = trio.Event()
        self._failed = trio.Event()
        self._fault: ProcessError | None = None

    async def wait_loaded(self) -> None:
        """Wait until the spawner has imported the modules that peers need. Earlier commands are delayed until then."""
        await self._loaded.wait()

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the running processes by name."""
        return {name: p.pid for name, p in self._processes.items() if p.started.is_set() and not p.ended.is_set()}

    async def start(self, name: str, arguments: Sequence[str], log: Path, *, may_end: bool = False) -> int:
        """Start `p2pverify ARGUMENTS`, append its output to `log`, and return the process id.

        With `may_end` it may end by itself.
        """
        known = self._processes.get(name)
        assert known is None or known.ended.is_set(), f"{name} runs already"
        process = self._processes[name] = _Process(log)
        process.may_end = may_end
        await self._send({"op": "start", "name": name, "arguments": list(arguments), "log": str(log)})
        await process.started.wait()
        return process.pid

    async def run_once(self, name: str, arguments: Sequence[str], log: Path) -> int:
        """Run `p2pverify ARGUMENTS` to its end, append its output to `log`, and return its exit code."""
        await self.start(name, arguments, log, may_end=True)
        process = self._processes[name]
        await process.ended.wait()
        assert process.code is not None
        return process.code

    async def signal(self, name: str, number: int) -> None:
        """Send a signal. It has no effect if the process has ended."""
        await self._send({"op": "signal", "name": name, "signal": int(number)})

    async def kill(self, name: str) -> None:
        """Kill a process (SIGKILL) and wait until it has ended."""
        process = self._processes[name]
        process.may_end = True
        await self.signal(name, signal.SIGKILL)
        await process.ended.wait()

    async def stop(self, name: str) -> int:
        """Ask a process to end (SIGTERM), kill it after GRACE_S seconds, and return its exit code.

        The exit code is negative if a signal ended the process.
        """
        process = self._processes[name]
        process.may_end = True
        await self.signal(name, signal.SIGTERM)
        with trio.move_on_after(GRACE_S):
            await process.ended.wait()
        if not process.ended.is_set():
            await self.kill(name)
        assert process.code is not None
        return process.code

    async def stop_all(self) -> None:
        """End all processes at the same time."""
        async with trio.open_nursery() as nursery:
            for name in self.pids:
                nursery.start_soon(self.stop, name)

    async def _send(self, command: dict[str, object]) -> None:
        assert self._spawner.stdin is not None
        data = json.dumps(command).encode() + b"\n"
        async with self._sending:
            # A cancelled, incomplete line would corrupt the next one.
            with trio.CancelScope(shield=True):
                try:
                    await self._spawner.stdin.send_all(data)
                except trio.BrokenResourceError:
                    raise _spawner_died() from None

    async def run(self) -> None:
        """Take the spawner's events until it closes its output or ends."""
        assert self._spawner.stdout is not None
        pending = b""
        while data := await self._spawner.stdout.receive_some(_READ_BYTES):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._note(json.loads(line))
        for process in self._processes.values():
            process.end(-signal.SIGKILL)  # the kernel has killed them, because their parent has ended
        self._loaded.set()
        self._fail(_spawner_died())

    async def watch(self) -> None:
        """Wait until a process ends without a command, and raise a ProcessError that names it."""
        await self._failed.wait()
        assert self._fault is not None
        raise self._fault

    def _note(self, event: Mapping[str, object]) -> None:
        if event["event"] == "loaded":
            self._loaded.set()
            return
        name = str(event["name"])
        process = self._processes[name]
        if event["event"] == "started":
            pid = event["pid"]
            assert isinstance(pid, int)
            process.pid = pid
            process.started.set()
            return
        code = event["code"]
        assert isinstance(code, int)
        process.end(code)
        if not process.may_end:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = "the end of its log is above; --keep DIR keeps all logs"
            self._fail(ProcessError(f"{name} {how}", hint, tail(process.log)))

    def _fail(self, fault: ProcessError) -> None:
        if self._fault is None:
            self._fault = fault
            self._failed.set()


def _spawner_died() -> ProcessError:
    return ProcessError("the process that starts the peers has ended", "spawner.log says why, with --keep DIR")


@asynccontextmanager
async def open_fleet(log: Path, *, remove: Path | None = None) -> AsyncIterator[Fleet]:
    """A fleet without processes. No process of the fleet survives the block or this process.

    `remove` is a directory to remove if this process is killed.
    """
    command = [sys.executable, "-m", "p2pverify.testnet.processes.spawner"]
    if remove is not None:
        command += ["--remove", str(remove)]
    with log.open("ab") as output:
        spawner = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C on the terminal must reach only the runner
        )
    try:
        async with trio.open_nursery() as nursery:
            fleet = Fleet(spawner)
            # Events are still needed while the block ends its processes after a failure.
            taking = trio.CancelScope(shield=True)
            nursery.start_soon(_take, fleet, taking)
            nursery.start_soon(fleet.watch)
            try:
                yield fleet
            finally:
                taking.cancel()
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _end(spawner)


async def _take(fleet: Fleet, scope: trio.CancelScope) -> None:
    with scope:
        await fleet.run()


async def _end(spawner: trio.Process) -> None:
    """Close the spawner's input, so that it kills all remaining processes, and wait for its end."""
    assert spawner.stdin is not None
    assert spawner.stdout is not None
    await spawner.stdin.aclose()
    with trio.move_on_after(_SPAWNER_END_S):
        await spawner.wait()
    if spawner.returncode is None:
        spawner.kill()  # and the kernel kills the peers
        await spawner.wait()
    await spawner.stdout.aclose()


def tail(log: Path) -> str:
    """The last lines of a log. Characters that are not printable become "?"."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    lines = text.splitlines()[-_TAIL_LINES:]
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that no program uses now. Raises ProcessError if there are too few.

    They lie below the kernel's range of ports for outgoing connections. So the connection of one peer cannot take the
    port of another peer that starts later or restarts.
    """
    try:
        ephemeral_from = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral_from = 32_768
    width = ephemeral_from - _PORTS_FROM
    start = int.from_bytes(os.urandom(4), "big")
    candidates = (_PORTS_FROM + (start + step) % width for step in range(width)) if width > 0 else iter(())
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise ProcessError(f"there are no {count} free ports", "end other programs that listen on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
