"""The cases that are run again: a random draw from a ledger, in one pass and with bounded memory."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pverify.core.replica.cases import Case

#: Reports that are named because nobody else can run them again.
SEALED_NAMED_MAX = 64


class Obstacle(Enum):
    """Why this machine cannot run a case again."""

    OTHER_CLASS = auto()  # the answers are of a class or a model of other machines
    OTHER_VERSION = auto()  # the answers are of another version of the model than the one that this machine has proven
    SEALED = auto()  # a report: its question was shown to the seats of the dispute alone
    NO_ANSWERS = auto()  # a referee would need the claimed tokens, which the ledger does not hold


@dataclass(slots=True)
class Draw:
    """The drawn cases, disputes first; how many cases could be drawn; and how many could not, by obstacle.

    `sealed` are the first ones whose question was shown to the seats alone, at most SEALED_NAMED_MAX.
    """

    cases: list[Case] = field(default_factory=list)
    candidates: int = 0
    left_out: dict[Obstacle, int] = field(default_factory=lambda: dict.fromkeys(Obstacle, 0))
    sealed: list[Case] = field(default_factory=list)


class _Reservoir:
    """At most `size` of the cases offered so far, each with the same chance. None keeps all."""

    def __init__(self, size: int | None, dice: random.Random) -> None:
        self._size = size
        self._dice = dice
        self._offered = 0
        self.kept: list[Case] = []

    def offer(self, case: Case) -> None:
        self._offered += 1
        if self._size is None or len(self.kept) < self._size:
            self.kept.append(case)
            return
        place = self._dice.randrange(self._offered)
        if place < self._size:
            self.kept[place] = case


def draw_cases(
    cases: Iterable[Case], count: int | None, obstacle: Callable[[Case], Obstacle | None], dice: random.Random
) -> Draw:
    """Draw `count` cases at random, or take all if it is None.

    Up to half of the draw are disputes, and more if there are too few undisputed audits. A ledger has few disputes, but
    only they convict.
    """
    draw = Draw()
    disputes, undisputed = _Reservoir(count, dice), _Reservoir(count, dice)
    for case in cases:
        why = obstacle(case)
        if why is not None:
            draw.left_out[why] += 1
            if why is Obstacle.SEALED and len(draw.sealed) < SEALED_NAMED_MAX:
                draw.sealed.append(case)
            continue
        draw.candidates += 1
        (disputes if case.is_disputed else undisputed).offer(case)
    if count is None:
        draw.cases = disputes.kept + undisputed.kept
        return draw
    wanted = min(len(disputes.kept), max((count + 1) // 2, count - len(undisputed.kept)))
    rest = min(len(undisputed.kept), count - wanted)
    draw.cases = dice.sample(disputes.kept, wanted) + dice.sample(undisputed.kept, rest)
    return draw
