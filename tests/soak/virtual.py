"""The soak in virtual time: simulated peers, faults by a seed, and what must hold at every cut.

The world is driven from outside, an eighth of an epoch at a time. Besides its own invariants (nested cuts, nobody
honest is convicted, cuts advance, bounded states, equal records and views at rest), at every final cut the sum of all
accounts is 0, and no honest peer has signed two records for one place of its log.
"""

import random
from collections.abc import Sequence
from copy import deepcopy

from p2pverify.core.settle.books import account_rows
from p2pverify.testnet.world import ActorPlan, World, WorldPlan
from p2pverify.testnet.world.peer.disk import Disk
from p2pverify.testnet.world.peer.peer import Peer
from tests.soak.plan import PlannedFault, SoakFault, clock_leap_ms, plan_faults

EPOCH_MS = 60_000
HOUR_EPOCHS = 3_600_000 // EPOCH_MS
PEERS, FOUNDERS, MEMBERS = 12, 10, 12
STEPS = 8  # of an epoch
KINDS = (
    SoakFault.KILL,
    SoakFault.KILLS,
    SoakFault.SUSPEND,
    SoakFault.CLOCK,
    SoakFault.BACKUP,
    SoakFault.CUT,
    SoakFault.HALVES,
)
#: Two of the founders are hostile, and one member that has joined; a seed draws their kinds.
HOSTILE_FOUNDERS = ("hostile-proposer", "double-signer", "non-signer", "lazy-voter", "forker")
HOSTILE_MEMBERS = ("always-wrong", "wrong", "slanderer", "equivocator", "silent", "withholder", "bloat")
#: Times of `plan_faults` are for epochs of three real seconds.
_STRETCH = EPOCH_MS / 3000


def world_plan(seed: int, epochs: int) -> WorldPlan:
    dice = random.Random(f"p2pverify/soak/world/{seed}")
    actors = tuple(ActorPlan(kind, founders=True) for kind in dice.sample(HOSTILE_FOUNDERS, 2))
    return WorldPlan(
        name="soak",
        seed=seed,
        peers=PEERS,
        founders=FOUNDERS,
        members=MEMBERS,
        epochs=epochs,
        actors=(*actors, ActorPlan(dice.choice(HOSTILE_MEMBERS))),
        rules={"epoch_ms": EPOCH_MS, "slots_milli": 1000, "panel_size": 2, "prompt_tokens": 8, "answer_tokens": 8},
        loss_ppm=20_000,
        duplicate_ppm=10_000,
        quantum_ms=150,
        heartbeat_ms=5000,
        sync_ms=6000,
        redial_ms=20_000,  # it gives up after 40 tries, which must be longer than any partition
        tariff=True,
    )


class VirtualSoak:
    """One world. `failures` are sentences."""

    def __init__(self, seed: int, hours: float, kinds: Sequence[SoakFault]) -> None:
        self._plan = world_plan(seed, round(hours * HOUR_EPOCHS))
        self.world = World(self._plan)
        self._genesis_ms = self.world.network.params.genesis_ms
        names = [str(peer.number) for peer in self.world.honest]
        chosen = [kind for kind in kinds if kind in KINDS]
        seconds = self._plan.epochs * EPOCH_MS / 1000 / _STRETCH
        self._faults = plan_faults(seed, seconds, names, chosen) if chosen else []
        self._ends: list[tuple[float, PlannedFault]] = []
        self._backups: dict[int, Disk] = {}
        self._sides: list[frozenset[int]] = []
        self._skews = {peer.number: peer.skew_ms for peer in self.world.peers}
        self._checked = 0
        self.played: list[str] = []
        self.failures: list[str] = []

    def play(self) -> None:
        """Run to the end."""
        world = self.world
        for step in range(self._plan.epochs * STEPS):
            world.run(self._genesis_ms + (step + 1) * EPOCH_MS // STEPS - 1)
            self._happen((step + 1) / STEPS * EPOCH_MS / 1000)
            self._look()
            if (step + 1) % STEPS == 0:
                world.invariants.after_epoch(step // STEPS)
        for _, fault in self._ends:
            self._heal(fault)
        world.rest()
        world.invariants.at_rest()
        self._look()
        self._forks()
        self.failures += [f"world {self._plan.seed}: {fault}" for fault in world.invariants.faults]
        if self.failures:
            self.failures += self.played

    def __str__(self) -> str:
        newest = self.world.invariants.newest
        kinds = ", ".join(actor.kind for actor in self._plan.actors)
        return (
            f"world {self._plan.seed}: {self._plan.epochs} epochs of {EPOCH_MS // 1000} s with {kinds} and "
            f"{len(self.played)} faults; {0 if newest is None else newest.index} cuts final, "
            f"{'all well' if not self.failures else 'FAILED'}"
        )

    # ------------------------------------------------------------ faults

    def _happen(self, now_s: float) -> None:
        """End and begin the faults whose time has come."""
        for end in [end for end in self._ends if end[0] <= now_s]:
            self._ends.remove(end)
            self._heal(end[1])
        while self._faults and self._faults[0].at_s * _STRETCH <= now_s:
            fault = self._faults.pop(0)
            self._ends.append((now_s + fault.lasts_s * _STRETCH, fault))
            self._break(fault)
            self.played.append(f"epoch {now_s * 1000 / EPOCH_MS:7.1f}  {fault} for {fault.lasts_s * _STRETCH:.0f} s")

    def _victims(self, fault: PlannedFault) -> list[Peer]:
        return [self.world.peers[int(name)] for name in fault.victims]

    def _break(self, fault: PlannedFault) -> None:
        world = self.world
        for peer in self._victims(fault):
            match fault.kind:
                case SoakFault.KILL | SoakFault.BACKUP:
                    world.stop(peer)
                case SoakFault.KILLS:
                    for _ in range(3):
                        world.stop(peer)
                        self._start(peer)
                        world.run(world.now_ms + 1 + fault.draw % 2000)
                    world.stop(peer)
                case SoakFault.SUSPEND:
                    peer.held = []
                case SoakFault.CLOCK:
                    peer.skew_ms += clock_leap_ms(fault, EPOCH_MS)
        if fault.kind in (SoakFault.CUT, SoakFault.HALVES):
            self._sides.append(frozenset(peer.number for peer in self._victims(fault)))
            self._split()

    def _heal(self, fault: PlannedFault) -> None:
        for peer in self._victims(fault):
            match fault.kind:
                case SoakFault.KILL | SoakFault.KILLS:
                    self._start(peer)
                case SoakFault.BACKUP:
                    old = self._backups.get(peer.number)
                    self._backups[peer.number] = deepcopy(peer.disk)
                    peer.disk = peer.disk if old is None else old
                    self._start(peer)
                case SoakFault.SUSPEND:
                    self.world.resume(peer)
                case SoakFault.CLOCK:
                    peer.skew_ms = self._skews[peer.number]
        if fault.kind in (SoakFault.CUT, SoakFault.HALVES):
            self._sides.remove(frozenset(peer.number for peer in self._victims(fault)))
            self._split()

    def _start(self, peer: Peer) -> None:
        self.world.invariants.forget(peer)
        self.world.start(peer)

    def _split(self) -> None:
        """Peers reach each other if they are on the same side of all partitions."""
        links = self.world.links
        if not self._sides:
            links.heal()
            return
        sides = {
            peer.number: sum(1 << place for place, side in enumerate(self._sides) if peer.number in side)
            for peer in self.world.peers
        }
        links.split(sides, self.world.peers)

    # ------------------------------------------------------------ what must hold

    def _look(self) -> None:
        """Check the cuts that are new on the path of the first honest peer that runs."""
        peer = next(peer for peer in self.world.honest if peer.is_up)
        fold = peer.machine.fold
        for index in range(self._checked + 1, fold.latest.index + 1):
            cut = fold.latest.at_index(index)
            state = None if cut is None else fold.state(cut)
            if state is None or state.books is None:
                continue
            total = sum(row.total for row in account_rows(state.books))
            if total:
                self.failures.append(f"the sum of all accounts is {total} at cut {index}")
        self._checked = max(self._checked, fold.latest.index)

    def _forks(self) -> None:
        honest = {peer.key: peer.number for peer in self.world.honest}
        for peer in self.world.honest:
            for record in peer.machine.context.ledger.branches():
                if record.author in honest:
                    self.failures.append(f"honest peer {honest[record.author]} has signed two ways at {record.seq}")
