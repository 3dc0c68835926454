"""Runs command lines of p2pverify in forks of a process that has loaded the program already.

A new interpreter takes most of a second to load it. A fork is a process of its own too: it has its own streams,
environment, working directory and exit code.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_REQUEST_BYTES_MAX = 1 << 16
_LOADED = ("p2pverify.cli", "p2pverify.node", "p2pverify.store", "p2pverify.api")


def run_command(
    args: list[str], environment: Mapping[str, str], directory: Path, *, deadline_s: int, merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end, without input. A command that takes longer than the deadline is killed.

    With `merged`, stdout has both streams.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        request = json.dumps([args, dict(environment), str(directory), deadline_s]).encode()
        assert len(request) <= _REQUEST_BYTES_MAX
        socket.send_fds(_server(), [request], [out.fileno(), (out if merged else err).fileno()])
        code = json.loads(_server().recv(_REQUEST_BYTES_MAX))
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(args, code, out.read().decode(), err.read().decode())


@cache
def _server() -> socket.socket:
    """This process's end of the connection to its server, which ends together with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.commands", str(theirs.fileno())]
    subprocess.Popen(command, cwd=REPOSITORY, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return ours


def _load() -> None:
    """Import what commands import."""
    for name in _LOADED:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)


def _serve(requests: socket.socket) -> None:
    while True:
        data, streams, _, _ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, 2)
        if not data:
            return
        child = os.fork()
        if not child:
            requests.close()
            _become(*json.loads(data), *streams)
        for stream in streams:
            os.close(stream)
        requests.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(args: list[str], environment: dict[str, str], directory: str, deadline_s: int, out: int, err: int) -> None:
    """Run a command line in this process, and end it."""
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, max(out, err) + 1)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(deadline_s)
        sys.argv = ["p2pverify", *args]
        from p2pverify.cli.main import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
