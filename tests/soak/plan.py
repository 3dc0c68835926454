"""Which fault hits which peer at which time. All of it follows from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: At most so many of the peers are disturbed at a time, so that two thirds of the weight go on.
DISTURBED_MAX = 2
#: A fault begins so many seconds after the one before it.
GAP_S = (3.0, 9.0)
LASTS_S = (3.0, 20.0)
#: After a fault its peer is left alone so long.
REST_S = 12.0


class SoakFault(StrEnum):
    """What happens to a peer."""

    KILL = "kill"
    KILLS = "kills"
    RESTART = "restart"
    SUSPEND = "suspend"
    CLOCK = "clock"
    DISK = "disk"
    FILES = "files"
    PAGES = "pages"
    BACKUP = "backup"
    CUT = "cut"
    HALVES = "halves"


TEXTS = {
    SoakFault.KILL: "kill -9, and a new start",
    SoakFault.KILLS: "kill -9 again and again while it starts",
    SoakFault.RESTART: "it is stopped as by an operator, and started again",
    SoakFault.SUSPEND: "SIGSTOP, and SIGCONT",
    SoakFault.CLOCK: "its clock leaps, and later leaps back",
    SoakFault.DISK: "its disk is full for a while",
    SoakFault.FILES: "it can open no more files or connections",
    SoakFault.PAGES: "bytes of its database change while it is stopped",
    SoakFault.BACKUP: "its home is replaced by an older copy",
    SoakFault.CUT: "its network is cut",
    SoakFault.HALVES: "the network falls into two halves",
}
#: Faults after which the process of the peer is another one.
ENDING = (SoakFault.KILL, SoakFault.KILLS, SoakFault.RESTART, SoakFault.PAGES, SoakFault.BACKUP)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: its victims by name, its begin and its length in seconds. `draw` decides details, 64 bits."""

    kind: SoakFault
    at_s: float
    lasts_s: float
    victims: tuple[str, ...]
    draw: int

    def __str__(self) -> str:
        return f"{self.kind:<8} {', '.join(self.victims)}"


def plan_faults(
    seed: int, seconds: float, names: Sequence[str], kinds: Sequence[SoakFault], spared: Sequence[str] = ()
) -> list[PlannedFault]:
    """Faults that end within `seconds`, each kind equally often. The process of a `spared` peer is never ended."""
    dice = random.Random(f"p2pverify/soak/{seed}")
    found: list[PlannedFault] = []
    deck: list[SoakFault] = []
    at_s = 0.0
    while True:
        at_s += dice.uniform(*GAP_S)
        lasts_s = dice.uniform(*LASTS_S)
        if at_s + lasts_s > seconds:
            return found
        if not deck:
            deck = list(kinds)
            dice.shuffle(deck)
        kind = deck[-1]
        busy = {name for fault in found if fault.at_s + fault.lasts_s + REST_S > at_s for name in fault.victims}
        able = [name for name in names if name not in busy and not (kind in ENDING and name in spared)]
        victims: tuple[str, ...] = (dice.choice(able),) if able else ()
        if kind is SoakFault.HALVES:
            victims = tuple(dice.sample(sorted(names), len(names) // 2)) if not busy else ()
        draw = dice.getrandbits(64)
        if not victims or (busy and len(busy) + len(victims) > DISTURBED_MAX):
            continue
        deck.pop()
        found.append(PlannedFault(kind, at_s, lasts_s, victims, draw))


def clock_leap_ms(fault: PlannedFault, epoch_ms: int) -> int:
    """How far the clock of the victim leaps: far back, or some epochs ahead or back."""
    far = (-3_600_000, -86_400_000)
    near = tuple(round(epochs * epoch_ms) for epochs in (-4, -1.5, -0.4, 0.4, 1.5, 4))
    return random.Random(fault.draw).choice(near if fault.draw % 3 else far)
