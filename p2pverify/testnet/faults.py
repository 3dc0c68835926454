"""The scheduled faults of a run (crashes, pauses and partitions) and their victims.

Real processes and the simulated world use the same schedule; for real processes `nemesis` carries it out. A scenario
gives only the number of victims, and the seed chooses them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

_DOMAIN = "p2pverify/testnet/1/fault"


class FaultKind(StrEnum):
    """The effect of a fault on its peers."""

    CRASH = "crash"  # killed without warning, and started again when the fault ends
    PAUSE = "pause"  # stopped as by SIGSTOP, with its connections, and continued when the fault ends
    PARTITION = "partition"  # nothing passes between the victims and the other peers


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: it starts with the epoch `epoch`, lasts `lasts_ms` milliseconds, and has `peers` victims."""

    kind: FaultKind
    epoch: int
    lasts_ms: int
    peers: int = 1


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A fault with its victims by name. Times are milliseconds after genesis."""

    kind: FaultKind
    begins_ms: int
    ends_ms: int
    victims: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} of {', '.join(self.victims)}"


def plan_faults(faults: Sequence[Fault], names: Sequence[str], *, epoch_ms: int, seed: int) -> tuple[FaultPlan, ...]:
    """Choose the victims, sorted by the time of the fault.

    No peer has two overlapping crashes or pauses. Raises ValueError if too few peers are left for a fault.
    """
    found: list[FaultPlan] = []
    for number, fault in enumerate(sorted(faults, key=lambda f: (f.epoch, f.kind, f.lasts_ms, f.peers))):
        begins_ms = fault.epoch * epoch_ms
        ends_ms = begins_ms + fault.lasts_ms
        busy = {
            name
            for other in found
            if FaultKind.PARTITION not in (other.kind, fault.kind) and begins_ms <= other.ends_ms
            for name in other.victims
        }
        free = sorted((name for name in names if name not in busy), key=lambda name: _rank(seed, number, name))
        if fault.peers > len(free):
            raise ValueError(
                f"a {fault.kind} in epoch {fault.epoch} needs {fault.peers} peers, of which {len(free)} are free"
            )
        victims = set(free[: fault.peers])
        found.append(FaultPlan(fault.kind, begins_ms, ends_ms, tuple(n for n in names if n in victims)))
    return tuple(found)


def _rank(seed: int, number: int, name: str) -> bytes:
    return sha256(f"{_DOMAIN}/{seed}/{number}/{name}".encode()).digest()
