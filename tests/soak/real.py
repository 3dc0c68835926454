"""The soak in real time: toy peers in processes, faults by a seed, and what must hold at the end."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.soak.deeds import Deeds, crashes
from tests.soak.peers import SoakNetwork
from tests.soak.places import mounts
from tests.soak.plan import SoakFault, plan_faults
from tests.soak.watch import SoakWatch, two_ways

EPOCH_MS = 3000
HONEST = 7
#: The last peer gives a quarter of its answers by a cheaper model.
CHEAT = "prune@0.25"
#: It is not ended by any fault, so that its memory is seen over the whole run.
SPARED = "peer1"
CALM_S = 30.0  # before the first fault
LEVEL_S = 120.0  # within which all have the same newest cut, after the last fault


class RealSoak:
    """One run. `failures` are sentences."""

    def __init__(self, seed: int, minutes: float, kinds: Sequence[SoakFault]) -> None:
        self._seed = seed
        self._seconds = 60 * minutes
        self._kinds = kinds
        self._began_s = time.monotonic()
        self.failures: list[str] = []

    def play(self, keep: Path | None) -> None:
        """Run to the end. The homes and logs remain in `keep`, or if something failed."""
        folder = Path(tempfile.mkdtemp(prefix="p2pverify-soak-")) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        if not mounts():
            self._say("no small file systems here: a full disk is played by a limit on the size of files")
        trio.run(self._run, folder)
        if keep is None and not self.failures:
            shutil.rmtree(folder)
        else:
            print(f"logs: {folder}/peer*.log")

    async def _run(self, folder: Path) -> None:
        names = [f"peer{number}" for number in range(1, HONEST + 2)]
        net = SoakNetwork(folder, names, EPOCH_MS, {names[-1]: CHEAT})
        watch = SoakWatch(net, self._fail)
        deeds = Deeds(net, self._say, self._fail)
        honest = [peer.name for peer in net.honest]
        seconds = max(0.0, self._seconds - CALM_S)
        faults = plan_faults(self._seed, seconds, honest, self._kinds, (SPARED,))

        async def play() -> None:
            self._say(f"{len(names)} peers run; {len(faults)} faults follow")
            async with trio.open_nursery() as watching:
                watching.start_soon(watch.run)
                await trio.sleep(CALM_S)
                await deeds.run(faults)
                self._say("the faults are over")
                await self._settle(net, watch)
                watching.cancel_scope.cancel()
            await self._end(net)

        await net.run(play)
        self._report(net, watch)

    async def _settle(self, net: SoakNetwork, watch: SoakWatch) -> None:
        with trio.move_on_after(LEVEL_S):
            while not watch.is_level():  # noqa: ASYNC110 - other processes change it
                await trio.sleep(0.5)
        if not watch.is_level():
            self._fail(f"not all have the same newest cut at the end: {watch.newest}")
        for peer in net.honest:
            if not peer.pid:
                self._fail(f"{peer.name} does not run at the end")

    async def _end(self, net: SoakNetwork) -> None:
        """End all, so that their databases can be compared before their file systems go."""
        async with trio.open_nursery() as nursery:
            for peer in net.peers.values():
                nursery.start_soon(net.stop, peer)
        for text in await trio.to_thread.run_sync(two_ways, net):
            self._fail(text)

    def _report(self, net: SoakNetwork, watch: SoakWatch) -> None:
        for peer in net.peers.values():
            for code, said in peer.ended:
                self._fail(f"{peer.name} ended by itself with {code}: {said}")
            for text in crashes(peer.log):
                self._fail(text)
        for life in watch.lives:
            for text in life.faults():
                self._fail(text)
        print("\nprocesses that were measured for the longest time, from their second minute on:")
        for name in net.peers:
            lives = [life for life in watch.lives if life.peer == name and len(life.warm) >= 8]
            if lives:
                print(f"  {max(lives, key=lambda life: len(life.warm))}")
        cut = max(watch.newest.values(), default=0)
        print(
            f"{cut} cuts final, convicted: {', '.join(sorted(watch.convicted)) or 'nobody'}; at most "
            f"{watch.stalled_max:.1f} epochs without a new cut; {watch.silent} of {watch.readings + watch.silent} "
            "readings without an answer"
        )

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began_s:7.1f} s  {text}", flush=True)

    def _fail(self, text: str) -> None:
        if text not in self.failures:
            self.failures.append(text)
            self._say(f"FAILED  {text}")
