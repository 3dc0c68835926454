"""The spawner: a process that imports a node's code once and then forks a process for each peer.

The import of libp2p, FastAPI and numpy costs a node one to two seconds of CPU and 60 MB. Eight peers on two cores would
need four to eight seconds for it; forked processes also share the memory. A forked peer runs the command line
`p2pverify --home DIR join ...` like any other process, in its own session and with its own home. Its exit code is the
exit code of the process. The spawner also ensures that no process survives the runner:

- Its standard input is a pipe, and only the runner has the other end. When the runner ends for any reason, the pipe
  closes. Then the spawner kills all peers, removes the testnet's directory if `--remove` is given, and ends.
- Peers ask the kernel to be killed with the spawner (PR_SET_PDEATHSIG). The kernel sends this signal when the *thread*
  that forked them ends. So a main thread forks the peers, because it lives as long as its process. The runner's threads
  end earlier, which is another reason for a spawner.

Only the spawner signals peers, because it is their parent. It knows which peers it has not reaped, so a process id
cannot belong to another program by now. Commands and events are JSON lines; `fleet` is the other end. Run it as
`python -m p2pverify.testnet.processes.spawner [--remove DIR]`.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

_COMMAND = "p2pverify.__main__"
# The modules that a joining node imports. Their import must start no thread and open no connection.
_PRELOADED = (
    _COMMAND,
    "p2pverify.app",
    "p2pverify.api.server",
    "p2pverify.cli.run.join",
    "p2pverify.engine.cheats.make",
    "p2pverify.engine.registry",
    "p2pverify.net.adapter",
    "rich.console",
)
_LINE_BYTES_MAX = 65_536
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


class Spawner:
    """Reads commands, and forks, signals and reaps peers, in one thread with one loop."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}  # pid -> name of the peers that are not reaped yet
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until standard input closes. No peer runs when this returns."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            _report({"event": "loaded"})
            self._serve()
        finally:
            self._end_all()

    def _serve(self) -> None:
        pending = b""
        while True:
            readable, _, _ = select.select([0, self._wake_read], [], [])
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
                self._reap()
            if 0 in readable:
                data = os.read(0, _LINE_BYTES_MAX)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, command: dict[str, object]) -> None:
        name = str(command["name"])
        if command["op"] == "start":
            arguments = command["arguments"]
            assert isinstance(arguments, list)
            self._start(name, [str(argument) for argument in arguments], str(command["log"]))
        else:
            number = command["signal"]
            assert isinstance(number, int)
            for pid in [pid for pid, owner in self._names.items() if owner == name]:
                os.kill(pid, number)

    def _start(self, name: str, arguments: Sequence[str], log: str) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_peer(parent, name, arguments, log)
        self._names[pid] = name
        _report({"event": "started", "name": name, "pid": pid})

    def _reap(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            name = self._names.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            _report({"event": "ended", "name": name, "pid": pid, "code": code})

    def _end_all(self) -> None:
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)
        for pid in self._names:
            os.waitpid(pid, 0)
        self._names.clear()


def _become_peer(parent: int, name: str, arguments: Sequence[str], log: str) -> NoReturn:
    """In the forked process: separate from the spawner, and run the command line."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the spawner ended before prctl took effect
            os._exit(1)
        _libc.prctl(_PR_SET_NAME, f"p2pv-{name}".encode()[:15], 0, 0, 0)
        _redirect(log)
        code = _run_command(arguments)
    except BaseException:  # noqa: BLE001 - nothing may return into the spawner's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # os._exit skips the exit handlers that the spawner registered for itself.
        os._exit(code)


def _redirect(log: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.closerange(3, 1024)


def _run_command(arguments: Sequence[str]) -> int:
    """Run the command line like `python -m p2pverify`. It is imported by name, because it is above this layer."""
    sys.argv = ["p2pverify", *arguments]
    try:
        importlib.import_module(_COMMAND).main(args=list(arguments), prog_name="p2pverify")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _report(event: dict[str, object]) -> None:
    data = json.dumps(event).encode() + b"\n"
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        pass  # the runner has ended, so standard input will close


def _main(argv: Sequence[str]) -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads do not survive a fork, so none is started here
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that garbage collection in a peer does not write to, and so copy, shared memory
    try:
        Spawner().run()
    finally:
        if argv[:1] == ["--remove"]:
            shutil.rmtree(Path(argv[1]), ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
