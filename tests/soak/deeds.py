"""Carries out the planned faults on a network of real processes, and times how soon each victim is well again."""

import random
import resource
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.testnet.processes.api_client import ReadError, fetch
from p2pverify.testnet.processes.fleet import tail
from tests.soak.node import set_clock
from tests.soak.peers import SoakNetwork, SoakPeer
from tests.soak.places import damage, full_disk, limited, mounts, open_files
from tests.soak.plan import PlannedFault, SoakFault, clock_leap_ms

#: A peer must be ready so soon after a fault has ended.
READY_S = 150.0
#: A process may end of these faults, as a service manager would start it again.
FATAL = (SoakFault.DISK, SoakFault.FILES)
_AGAIN_S = 0.3
_FREE_FILES = 1


class Deeds:
    """`say` prints a line, `fail` notes what must not be."""

    def __init__(self, net: SoakNetwork, say: Callable[[str], None], fail: Callable[[str], None]) -> None:
        self._net = net
        self._say = say
        self._fail = fail
        self._backups: dict[str, Path] = {}
        self._busy: set[str] = set()

    async def run(self, faults: list[PlannedFault]) -> None:
        """Carry out all, each at its time after now. Returns when all victims are ready again."""
        begin_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in faults:
                nursery.start_soon(self._carry_out, fault, begin_s)

    async def _carry_out(self, fault: PlannedFault, begin_s: float) -> None:
        await trio.sleep_until(begin_s + fault.at_s)
        victims = [self._net.peers[name] for name in fault.victims]
        if self._busy.intersection(fault.victims):
            self._say(f"{fault} left out, because it has not recovered from the fault before")
            return
        self._busy.update(fault.victims)
        self._say(f"{fault} for {fault.lasts_s:.0f} s{self._detail(fault)}")
        await self._play(fault, victims)
        self._busy.difference_update(fault.victims)

    async def _play(self, fault: PlannedFault, victims: list[SoakPeer]) -> None:
        before = {victim.name: len(victim.ended) for victim in victims}
        if len(victims) > 1 or fault.kind is SoakFault.CUT:
            side = self._net.relays.cut(fault.victims)
            await trio.sleep(fault.lasts_s)
            self._net.relays.heal(side)
        else:
            await self._hurt(fault, victims[0])
        healed_s = trio.current_time()
        for victim in victims:
            await self._revive(fault, victim, before[victim.name])
        await self._until_ready(fault, victims, healed_s)

    def _detail(self, fault: PlannedFault) -> str:
        if fault.kind is SoakFault.CLOCK:
            return f", by {clock_leap_ms(fault, self._net.epoch_ms) / 1000:+.1f} s"
        if fault.kind is SoakFault.DISK and not mounts():
            return ", by a limit on the size of files"
        return ""

    async def _hurt(self, fault: PlannedFault, victim: SoakPeer) -> None:
        net = self._net
        match fault.kind:
            case SoakFault.KILL:
                await net.kill(victim)
                await trio.sleep(fault.lasts_s)
                await self._start(fault, victim)
            case SoakFault.KILLS:
                await self._kill_often(fault, victim)
            case SoakFault.RESTART:
                await self._stop(fault, victim)
                await self._start(fault, victim)
            case SoakFault.SUSPEND:
                net.signal(victim, signal.SIGSTOP)
                try:
                    await trio.sleep(fault.lasts_s)
                finally:
                    net.signal(victim, signal.SIGCONT)
            case SoakFault.CLOCK:
                set_clock(victim.clock, clock_leap_ms(fault, net.epoch_ms))
                await trio.sleep(fault.lasts_s)
                set_clock(victim.clock, 0)
            case SoakFault.DISK:
                with full_disk(victim.home.path, victim.pid):
                    await trio.sleep(fault.lasts_s)
            case SoakFault.FILES:
                with limited(victim.pid, resource.RLIMIT_NOFILE, open_files(victim.pid) + _FREE_FILES):
                    await trio.sleep(fault.lasts_s)
            case SoakFault.PAGES:
                await self._damage(fault, victim)
            case SoakFault.BACKUP:
                await self._restore(fault, victim)

    async def _kill_often(self, fault: PlannedFault, victim: SoakPeer) -> None:
        dice = random.Random(fault.draw)
        for _ in range(3):
            await self._net.kill(victim)
            await self._net.start(victim, answers=False)
            await trio.sleep(dice.uniform(0.5, 6.0))
        await self._net.kill(victim)
        await self._start(fault, victim)

    async def _damage(self, fault: PlannedFault, victim: SoakPeer) -> None:
        """Change bytes of the database, and do what the program says if it does not start."""
        await self._stop(fault, victim)
        pages = damage(victim.home.database_path, fault.draw)
        if await self._net.start(victim):
            self._say(f"{fault} starts with {pages} damaged pages")
            return
        said = self._take_end(victim)
        if "away, and start it again" in said:
            self._say(f"{fault} asks for its database to be moved away")
        else:
            self._fail(f"{fault} does not start with damaged pages, and does not say what to do: {said}")
        for file in victim.home.path.glob(f"{victim.home.database_path.name}*"):
            file.unlink()
        await self._start(fault, victim)

    async def _restore(self, fault: PlannedFault, victim: SoakPeer) -> None:
        """Replace the home by the last copy of it, if there is one; and keep a copy of the present one."""
        await self._stop(fault, victim)
        old, new = self._backups.get(victim.name), self._net.folder / f"{victim.name}.{fault.draw}.copy"
        shutil.copytree(victim.home.path, new, ignore=shutil.ignore_patterns("api", "node.lock"))
        self._backups[victim.name] = new
        if old is not None:
            for path in victim.home.path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(old, victim.home.path, dirs_exist_ok=True)
            shutil.rmtree(old)
            self._say(f"{fault} has an older home")
        await self._start(fault, victim)

    async def _stop(self, fault: PlannedFault, victim: SoakPeer) -> None:
        code = await self._net.stop(victim)
        if code != 0:
            self._fail(f"{fault} ended with {code} when it was asked to end")

    async def _start(self, fault: PlannedFault, victim: SoakPeer) -> None:
        if not await self._net.start(victim):
            self._fail(f"{fault} does not start again: {self._take_end(victim) or 'it runs, and does not answer'}")

    @staticmethod
    def _take_end(victim: SoakPeer) -> str:
        """The last lines of a process that has ended by itself, which then does not count as a failure of its own."""
        if victim.pid:
            return ""
        victim.may_end = True
        victim.ended.clear()
        return tail(victim.log)

    async def _revive(self, fault: PlannedFault, victim: SoakPeer, before: int) -> None:
        """Start a victim again that ended of its fault, as a service manager would."""
        if victim.pid or len(victim.ended) == before:
            return
        code, said = victim.ended[-1]
        victim.ended.clear()
        last = said.splitlines()[-1] if said else ""
        if fault.kind in FATAL and "Traceback" not in said:
            self._say(f"{fault} ended with {code}: {last}")
        else:
            self._fail(f"{fault} ended with {code}: {said}")
        await self._start(fault, victim)

    async def _until_ready(self, fault: PlannedFault, victims: list[SoakPeer], healed_s: float) -> None:
        reasons: dict[str, str] = {victim.name: "not asked yet" for victim in victims}
        with trio.move_on_after(READY_S):
            while reasons:
                for victim in victims:
                    if victim.name in reasons:
                        reasons[victim.name] = await self._why_not(victim)
                        if not reasons[victim.name]:
                            del reasons[victim.name]
                if reasons:
                    await trio.sleep(_AGAIN_S)
        took_s = trio.current_time() - healed_s
        if reasons:
            self._fail(f"{fault} is not ready {took_s:.0f} s after: {reasons}")
        else:
            self._say(f"{fault} well again after {took_s:.1f} s")

    async def _why_not(self, victim: SoakPeer) -> str:
        """Why a peer is not ready; empty if it is."""
        url = victim.api
        if url is None:
            return "it does not run" if not victim.pid else "its API is not up"
        with suppress(ReadError):
            found = await trio.to_thread.run_sync(fetch, url, "/v1/status", StatusDocument)
            return "" if found.ready else "; ".join(found.reasons)
        return "its API does not answer"


def crashes(log: Path) -> list[str]:
    """Errors in a log that no peer should write."""
    if not log.exists():
        return []
    lines = log.read_text(errors="replace").splitlines()
    return [f"{log.name}:{number}: {line[:300]}" for number, line in enumerate(lines, 1) if "Traceback (most" in line]
