"""Helpers for tests of the testnet: documents made by hand, and a runner process that is watched from outside."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from p2pverify.node.reports.documents.scores import ScoreDocument, ScoresDocument, StandingName
from p2pverify.node.reports.documents.status import FinalCutDocument, RecentCut, StatusDocument
from p2pverify.testnet.cheats import parse_cheat
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.scenario import load_scenario
from tests.support.documents import ROW, SCORES, STATUS

EPOCH_MS = 600
FINAL_FIELDS = tuple(each.name for each in fields(FinalCutDocument))
QUICK = ["--epoch-ms", str(EPOCH_MS)]


def toy_plan(*cheats: str, peers: int = 4, **options: Any) -> Plan:
    """A plan with the toy engine and short epochs."""
    chosen = [parse_cheat(cheat) for cheat in cheats]
    return make_plan(load_scenario("toy"), peers=peers, cheats=chosen, epoch_ms=EPOCH_MS, **options)


def cut(number: int, *, view: str = "view") -> RecentCut:
    """The cut of an epoch."""
    return RecentCut(
        cut=f"{number:064x}",
        epoch=number,
        index=number + 1,
        ledger_root=f"ledger of {number}",
        view_root=f"{view} of {number}",
        records=10 * number,
    )


def status(*cuts: RecentCut) -> StatusDocument:
    """The status of a peer with these cuts, oldest first."""
    final = FinalCutDocument(**{name: vars(cuts[-1])[name] for name in FINAL_FIELDS}) if cuts else None
    return replace(STATUS, peer_id="", epoch=20, records=200, recent_cuts=cuts, final=final)


def score(peer_id: str, standing: StandingName = "trusted", **changes: Any) -> ScoreDocument:
    """The score of a peer in a view."""
    convicted_after = 4 if standing == "convicted" else None
    row = replace(ROW, peer_id=peer_id, standing=standing, low=0.9, audits=30, convicted_after_audits=convicted_after)
    return replace(row, **changes)


def view_at(plan: Plan, at: RecentCut, standings: Mapping[str, StandingName] | None = None) -> ScoresDocument:
    """A final view that trusts all peers except those with other standings, by name."""
    others = standings or {}
    found = tuple(score(peer.peer_id, others.get(peer.name, "trusted")) for peer in plan.peers)
    return replace(SCORES, cut=at.cut, epoch=at.epoch, scores=found)


def provisional(*rows: ScoreDocument) -> ScoresDocument:
    """A provisional view."""
    return replace(SCORES, final=False, cut=None, epoch=8, scores=rows)


# ---------------------------------------------------------------- processes


@contextmanager
def running_testnet(temporary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `p2pverify testnet ARGUMENTS` with its temporary files in `temporary`. It ends with the block."""
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pverify", "testnet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], word: str) -> None:
    """Read the process's stderr up to a line with the word."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        if word in line:
            return
        seen.append(line)
    raise AssertionError("".join(seen))


def processes_of(directory: Path) -> list[int]:
    """Ids of the processes with a directory in their command line: the spawner, and the peers that it forked."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended in the meantime
            if os.fsencode(directory) in command:
                found.append(int(entry.name))
    return found


class Watched:
    """Processes that a test can wait for, although they are not its children."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self._handles = []
        for pid in pids:
            with suppress(ProcessLookupError):  # it ended already
                self._handles.append(os.pidfd_open(pid))

    def __len__(self) -> int:
        return len(self._handles)

    def have_ended(self, seconds: float) -> bool:
        """Wait until all processes have ended. False if some still run after `seconds`."""
        try:
            return all(select.select([handle], [], [], seconds)[0] for handle in self._handles)
        finally:
            for handle in self._handles:
                os.close(handle)
            self._handles = []
