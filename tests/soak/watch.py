"""Looks at all peers of a soak again and again: views, convictions, progress, memory and open files."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from statistics import linear_regression, median
from typing import TypeVar

import trio

from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import RecentCut, StatusDocument
from p2pverify.testnet.processes.api_client import ReadError, fetch
from tests.soak.peers import SoakNetwork, SoakPeer
from tests.soak.places import Measured, measure

PERIOD_S = 3.0
#: A new cut must become final within so many epochs, whatever happens.
STALL_EPOCHS = 24
#: After a start a process still loads code and fills its tables.
WARM_S = 60.0
#: More open files at the end of a life than at its begin are a leak.
FILES_MORE_MAX = 12
#: Resident memory that may come with each record that a process has learned since it was warm.
RECORD_BYTES_MAX = 8192
SPARE_BYTES = 24 << 20
_MEGABYTE = 1 << 20

_D = TypeVar("_D", StatusDocument, ScoresDocument)


@dataclass(slots=True)
class Life:
    """What was measured of one process: seconds since its start, and the records that it held."""

    peer: str
    began_s: float
    measured: list[tuple[float, Measured, int]] = field(default_factory=list)

    @property
    def warm(self) -> list[tuple[float, Measured, int]]:
        return [each for each in self.measured if each[0] >= WARM_S]

    def faults(self) -> list[str]:
        """What has grown without need."""
        warm = self.warm
        if len(warm) < 8:
            return []
        part = len(warm) // 4
        first, last = warm[:part], warm[-part:]
        found = []
        more = median(m.files for _, m, _ in last) - median(m.files for _, m, _ in first)
        if more > FILES_MORE_MAX:
            found.append(f"{self.peer} has {more:.0f} open files more at the end of {warm[-1][0]:.0f} s")
        grown = median(m.resident_bytes for _, m, _ in last) - median(m.resident_bytes for _, m, _ in first)
        records = last[-1][2] - first[0][2]
        if grown > SPARE_BYTES + RECORD_BYTES_MAX * max(0, records):
            found.append(f"{self.peer} has grown by {grown / _MEGABYTE:.0f} MB with {records} records")
        return found

    def __str__(self) -> str:
        warm = self.warm
        if len(warm) < 8:
            return f"{self.peer}: too short"
        times = [at_s / 60 for at_s, _, _ in warm]
        memory = linear_regression(times, [m.resident_bytes / _MEGABYTE for _, m, _ in warm])
        files = linear_regression(times, [float(m.files) for _, m, _ in warm])
        records = linear_regression(times, [float(count) for _, _, count in warm])
        last = warm[-1][1]
        return (
            f"{self.peer:<7} {warm[-1][0]:5.0f} s  {last.resident_bytes / _MEGABYTE:5.0f} MB {memory.slope:+6.2f}/min"
            f"  {last.files:4} files {files.slope:+6.2f}/min  {warm[-1][2]:6} records {records.slope:+7.1f}/min"
        )


class SoakWatch:
    """`fail` notes what must not be. `ended` is called with a peer whose process ended by itself."""

    def __init__(self, net: SoakNetwork, fail: Callable[[str], None]) -> None:
        self._net = net
        self._fail = fail
        self._cuts: dict[str, RecentCut] = {}  # by the id of the cut, as the first peer told it
        self._lives: dict[tuple[str, int], Life] = {}
        self.newest: dict[str, int] = {}  # the index of the newest final cut by peer
        self.convicted: set[str] = set()
        self._best, self._best_epoch = 0, 0.0
        self.stalled_max = 0.0
        self.readings = self.silent = 0

    @property
    def lives(self) -> list[Life]:
        return sorted(self._lives.values(), key=lambda life: (life.peer, life.began_s))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            async with trio.open_nursery() as nursery:
                for peer in self._net.peers.values():
                    nursery.start_soon(self._look, peer)
            self._check_progress()
            await trio.sleep(PERIOD_S)

    def _check_progress(self) -> None:
        epoch = self._net.epoch()
        best = max(self.newest.values(), default=0)
        if best > self._best or epoch < 0:
            self._best, self._best_epoch = best, max(0.0, epoch)
        stalled = epoch - self._best_epoch
        self.stalled_max = max(self.stalled_max, stalled)
        if stalled > STALL_EPOCHS:
            self._fail(f"no new final cut in {stalled:.0f} epochs until epoch {epoch:.0f}")
            self._best_epoch = epoch

    async def _look(self, peer: SoakPeer) -> None:
        pid, url = peer.pid, peer.api
        if not pid or url is None:
            return
        try:
            with trio.move_on_after(2 * PERIOD_S):
                status = await self._fetch(url, "/v1/status", StatusDocument)
                scores = await self._fetch(url, "/v1/scores?view=final", ScoresDocument)
                self._judge(peer, status, scores)
                self.readings += 1
                self._measure(peer, pid, status)
                return
        except ReadError:
            pass
        self.silent += 1

    async def _fetch(self, url: str, path: str, kind: type[_D]) -> _D:
        return await trio.to_thread.run_sync(
            fetch,
            url,
            path,
            kind,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
        )

    def _measure(self, peer: SoakPeer, pid: int, status: StatusDocument) -> None:
        found = measure(pid)
        if found is not None:
            life = self._lives.setdefault((peer.name, pid), Life(peer.name, trio.current_time()))
            life.measured.append((trio.current_time() - life.began_s, found, status.records))

    def _judge(self, peer: SoakPeer, status: StatusDocument, scores: ScoresDocument) -> None:
        if peer.cheat:
            return
        if status.final is not None:
            self.newest[peer.name] = status.final.index
        for cut in status.recent_cuts:
            known = self._cuts.setdefault(cut.cut, cut)
            if (known.ledger_root, known.view_root) != (cut.ledger_root, cut.view_root):
                self._fail(f"{peer.name} has other roots of cut {cut.cut[:16]} than the others")
        for row in scores.scores:
            name = self._net.names.get(row.peer_id)
            if name is None or row.standing not in ("convicted", "suspect"):
                continue
            if row.standing == "convicted":
                self.convicted.add(name)
            if not self._net.peers[name].cheat:
                self._fail(f"{name} is {row.standing} by {peer.name}: {row.conviction}")

    def is_level(self) -> bool:
        """Whether all honest peers have the same newest final cut."""
        names = {peer.name for peer in self._net.honest}
        return names <= set(self.newest) and len({self.newest[name] for name in names}) == 1


Row = tuple[bytes, int, bytes]


def two_ways(net: SoakNetwork) -> list[str]:
    """Honest peers with two records for one place of their logs, in any database. The processes have ended."""
    seen: dict[tuple[bytes, int], bytes] = {}
    names = {key: name for name, key in net.keys.items()}
    found = []
    for peer in net.peers.values():
        try:
            rows = _rows(peer)
        except sqlite3.DatabaseError as error:
            found.append(f"the database of {peer.name} cannot be read at the end: {error}")
            continue
        for author, seq, record in rows:
            known = seen.setdefault((author, seq), record)
            name = names.get(author)
            if known != record and name is not None and not net.peers[name].cheat:
                found.append(f"{name} has signed two records number {seq}; {peer.name} holds one of them")
    return found


def _rows(peer: SoakPeer) -> list[Row]:
    with closing(sqlite3.connect(f"file:{peer.home.database_path}?mode=ro", uri=True)) as database:
        return database.execute("SELECT author, seq, id FROM records").fetchall()
