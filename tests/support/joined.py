"""A node in its own process, started by `p2pverify join`."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pverify.node.files.home import Home
from tests.cli.transcript import PROGRAM, environment

HOPELESS_S = 240


@contextmanager
def joined(
    home: Path, network: Path, *options: str, listens: bool = True, ended: list[int] | None = None
) -> Iterator[str]:
    """Run a node of a network on loopback. Yields the address for dialling it; "" if it does not listen.

    Its exit code is added to `ended`.
    """
    where = ["--listen", "/ip4/127.0.0.1/tcp/0"] if listens else []
    command = [*PROGRAM, "join", str(network), *where, "--http", "127.0.0.1:0", *options]
    Home(home).init()
    if not listens:
        Home(home).config_path.write_text("listen = []\n")
    log = home.with_name(f"{home.name}.log")
    with log.open("w") as errors:
        node = subprocess.Popen(
            command, env=environment(home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert node.stdout is not None
            first = node.stdout.readline()
            assert first, log.read_text()
            yield next(iter(json.loads(first)["addresses"]), "")
        finally:
            node.send_signal(signal.SIGINT)
            try:
                node.communicate(timeout=HOPELESS_S)
            finally:
                node.kill()
                node.wait()
                if ended is not None:
                    ended.append(node.returncode)
