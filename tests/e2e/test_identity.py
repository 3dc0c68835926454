"""One identity that is lost or doubled: a restored home and a copied home, with real processes.

The toy engine computes. Tests wait for events, so a slow machine takes longer but gives the same result.
"""

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.cli.transcript import PROGRAM, environment, run

EPOCH_MS = 1500
HOPELESS_S = 120
NOWHERE = "/ip4/127.0.0.1/tcp/9"


@dataclass
class Node:
    """A running node's API, address and process."""

    api: str
    address: str
    process: "subprocess.Popen[str]"
    log: Path

    def get(self, path: str) -> dict:
        with urlopen(self.api + path, timeout=HOPELESS_S) as response:
            return json.load(response)

    @property
    def reasons(self) -> str:
        return "; ".join(self.get("/v1/status")["reasons"])

    @property
    def epoch(self) -> int:
        return self.get("/v1/status")["epoch"]

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until a condition on the nodes' reports holds, while this node runs."""
        deadline = time.monotonic() + HOPELESS_S
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.reasons
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=HOPELESS_S)


class Lab:
    """A directory with homes, their network, and the processes that run there."""

    def __init__(self, folder: Path, names: tuple[str, ...], *options: str) -> None:
        self.folder = folder
        self.started: list[Node] = []
        self.ids = {}
        for name in names:
            said = run(self.home(name), "init")
            assert said.returncode == 0, said.stderr
            self.ids[name] = said.stdout.split("peer id: ")[1].split()[0]
        founders = [part for name in names for part in ("--founder", self.ids[name])]
        made = run(
            self.home(names[0]), "network", "new", "--engine", "toy", "--epoch-ms", str(EPOCH_MS), *founders,
            "-o", str(self.network), *options,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr

    @property
    def network(self) -> Path:
        return self.folder / "network.toml"

    def home(self, name: str) -> Path:
        return self.folder / name

    def start(self, name: str, *bootstrap: str, told: str = "") -> Node:
        command = [*PROGRAM, "join", str(self.network), "--listen", "/ip4/127.0.0.1/tcp/0", "--http", "127.0.0.1:0"]
        command += [part for address in bootstrap for part in ("--bootstrap", address)] + told.split()
        log = self.folder / f"{name}.{len(self.started)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, env=environment(self.home(name)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True,
            )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        ready = json.loads(line)
        self.started.append(Node(ready["api"], ready["addresses"][0], process, log))
        return self.started[-1]


@contextmanager
def lab(folder: Path, *names: str, options: Sequence[str] = ()) -> Iterator[Lab]:
    """Homes with these names. `options` are more ones of 'p2pverify network new'."""
    made = Lab(folder, names, *options)
    try:
        yield made
    finally:
        for node in made.started:
            node.process.kill()
            node.process.wait()


def test_a_restored_home_that_is_cut_off_is_silent_and_stays_honest(tmp_path: Path) -> None:
    """For some epochs it is isolated and signs nothing. Then it is shown its log and continues after it."""
    with lab(tmp_path, "first", "second", "restored") as made:
        first = made.start("first")
        second = made.start("second", first.address)
        node = made.start("restored", first.address, second.address)
        node.until(lambda: not node.reasons)
        node.stop()
        shutil.copytree(made.home("restored"), made.home("copy"))
        node = made.start("restored", first.address, second.address)
        node.until(lambda: not node.reasons)
        later = node.epoch + 3
        node.until(lambda: node.epoch >= later)
        node.stop()
        shutil.rmtree(made.home("restored"))
        shutil.copytree(made.home("copy"), made.home("restored"))
        with closing(sqlite3.connect(made.home("restored") / "node.db", isolation_level=None)) as database:
            database.execute("DELETE FROM peers")  # else it finds its neighbours by its address book
        node = made.start("restored", NOWHERE)
        held, later = node.get("/v1/status")["records"], node.epoch + 3
        node.until(lambda: node.epoch >= later)
        assert "silent until others have shown our own log" in node.reasons
        assert "--alone" in node.reasons
        assert node.get("/v1/status")["records"] == held
        node.stop()
        node = made.start("restored", first.address, second.address)
        node.until(lambda: not node.reasons)
        later = node.epoch + 3
        node.until(lambda: node.epoch >= later)
        for each in (first, second, node):
            scores = {score["peer_id"]: score for score in each.get("/v1/scores")["scores"]}
            assert scores[made.ids["restored"]]["standing"] not in {"convicted", "suspect"}
            assert scores[made.ids["restored"]]["dissents"] == 0
            assert scores[made.ids["restored"]]["weight"] == 1


def test_a_copied_home_finds_the_running_one_and_ends(tmp_path: Path) -> None:
    """Both have only the same neighbour. The copy ends before it signs, and the running node reports what it met."""
    with lab(tmp_path, "first", "second", "third") as made:
        first = made.start("first")
        made.start("second", first.address)
        node = made.start("third", first.address)
        node.until(lambda: not node.reasons)
        shutil.copytree(made.home("third"), made.home("copy"), ignore=shutil.ignore_patterns("api", "node.lock"))
        copy = made.start("copy", first.address)
        assert copy.process.wait(timeout=HOPELESS_S) == 1
        said = copy.log.read_text()
        assert "another process signs with this identity" in said
        assert "stop the other one, or give this machine its own identity" in said
        node.until(lambda: "another process signs with this identity" in node.reasons)
        assert "Run this identity on one machine only" in node.reasons
        scores = {score["peer_id"]: score for score in first.get("/v1/scores")["scores"]}
        assert scores[made.ids["third"]]["standing"] not in {"convicted", "suspect"}


def test_a_leave_in_the_silence_is_kept_over_a_restart(tmp_path: Path) -> None:
    """It is not confirmed, because it cannot be signed yet. The next start signs it as soon as possible, and it
    stays."""
    with lab(tmp_path, "first", "second", "third") as made:
        first = made.start("first")
        second = made.start("second", first.address)
        node = made.start("third", first.address, second.address)
        node.until(lambda: not node.reasons)
        node.stop()
        node = made.start("third", NOWHERE)
        refused = run(made.home("third"), "leave", "--yes")
        assert refused.returncode == 4
        assert "the leave is not signed yet: silent" in refused.stderr
        assert "leaving: keep this node running" in node.reasons
        node.stop()
        for _ in range(2):
            node = made.start("third", first.address, second.address)
            gone = made.ids["third"]
            node.until(lambda: {s["peer_id"]: s["standing"] for s in first.get("/v1/scores")["scores"]}[gone] == "gone")  # noqa: B023
            node.until(lambda: "--rejoin" in node.reasons)  # noqa: B023
            node.stop()


def test_a_lone_founder_begins_by_itself_and_goes_on_if_told_to(tmp_path: Path) -> None:
    """Its new identity has signed nothing. Later its home could be an older copy, and no other peer could show this."""
    with lab(tmp_path, "founder") as made:
        node = made.start("founder")
        node.until(lambda: not node.reasons)
        node.stop()
        node = made.start("founder")
        assert "start it with --alone" in node.reasons
        node.stop()
        node = made.start("founder", told="--alone")
        node.until(lambda: not node.reasons)
        node.stop()
