"""A network of one founder grows to five members with weight, and continues without its founder, in real processes.

It is not part of `uv run pytest`, because it takes half a minute or more. `.ci/run` runs it with `uv run pytest
tests/long`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.commands import run_command

EPOCH_MS = 1_500
PEERS = 6
#: Far more than a loaded machine needs, so it is reached only after a fault.
HOPELESS_S = 400
LOOK_S = 0.5


def p2pverify(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_command(["--home", str(home), *map(str, arguments)], os.environ, home.parent, deadline_s=60)


@contextmanager
def node(home: Path, *arguments: str | Path) -> Iterator[dict[str, object]]:
    """A running node. Yields the line that reports its readiness."""
    command = [sys.executable, "-m", "p2pverify", "--home", str(home), "join", *map(str, arguments)]
    command += ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]
    with (home.parent / f"{home.name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            yield {**json.loads(process.stdout.readline()), "process": process}
        finally:
            process.terminate()
            process.wait(HOPELESS_S)


def weighted(home: Path) -> set[str]:
    """The peers with weight in the final view of a running node."""
    done = p2pverify(home, "scores", "--json")
    if done.returncode:
        return set()
    return {score["peer_id"] for score in json.loads(done.stdout)["scores"] if score["weight"]}


def final_epoch(home: Path) -> int:
    """The epoch of the newest final cut at a running node."""
    cuts = json.loads(p2pverify(home, "status", "--json").stdout)["recent_cuts"]
    return max((cut["epoch"] for cut in cuts), default=-1)


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Repeat the query until a condition holds, a few times an epoch."""
    end = time.monotonic() + HOPELESS_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(LOOK_S)


def test_a_network_of_one_founder_grows_and_survives_its_founder(tmp_path: Path) -> None:
    """Five members have weight, the founder is killed, and cuts continue."""
    homes = [tmp_path / f"peer{number}" for number in range(PEERS)]
    for home in homes:
        assert p2pverify(home, "init").returncode == 0
    file = tmp_path / "network.toml"
    rules = ("--engine", "toy", "--epoch-ms", EPOCH_MS, "--slots-milli", 4_000, "--growth-epochs", 4)
    made = p2pverify(homes[0], "network", "new", "-o", file, *map(str, rules))
    assert made.returncode == 0, made.stderr
    with ExitStack() as stack:
        founder = stack.enter_context(node(homes[0], file, "--alone"))
        addresses = founder["addresses"]
        assert isinstance(addresses, list)
        others = [stack.enter_context(node(home, file, "--bootstrap", addresses[0])) for home in homes[1:]]
        observer = homes[1]
        wait_until("five have weight", lambda: len(weighted(observer)) >= 5)
        assert {founder["peer_id"]} < weighted(observer) <= {each["peer_id"] for each in (founder, *others)}
        founder["process"].kill()  # type: ignore[attr-defined]
        last = final_epoch(observer)
        wait_until("cuts go on without the founder", lambda: final_epoch(observer) >= last + 5)
