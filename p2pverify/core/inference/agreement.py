"""Several answers to one question: which of them agree, and which one a majority gives.

Two answers of one class agree if their digests are equal, and differ otherwise. Two answers of different classes can be
compared only if a referee has judged both. They agree if both are matches. They differ if at least one is a mismatch.
Otherwise they are not compared: nothing is said of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.core.inference.compare import Verdict


class Relation(StrEnum):
    """How an answer stands to the one that the client gets."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """An answer: its class, its output digest, and the referee's verdict, None if there is none."""

    class_index: int
    output: bytes
    verdict: Verdict | None = None

    @property
    def key(self) -> tuple[int, bytes]:
        """What equal answers of one class have in common."""
        return self.class_index, self.output


@dataclass(frozen=True, slots=True)
class Agreement:
    """The place of the answer that the client gets, None if there is no majority; and how each answer stands to it.

    Without a majority an answer differs if any other one differs from it, and agrees if one agrees and none differs.
    """

    chosen: int | None
    relations: tuple[Relation, ...]


def relation(one: ComparedAnswer, other: ComparedAnswer) -> Relation:
    """How two answers to one question stand to each other."""
    if one.class_index == other.class_index:
        return Relation.AGREES if one.output == other.output else Relation.DIFFERS
    verdicts = (one.verdict, other.verdict)
    if None in verdicts:
        return Relation.NOT_COMPARED
    if Verdict.MISMATCH in verdicts:
        return Relation.DIFFERS
    return Relation.NOT_COMPARED if Verdict.INCONCLUSIVE in verdicts else Relation.AGREES


def agree(answers: Sequence[ComparedAnswer], panel: int) -> Agreement:
    """Find the majority: more than half of the `panel` that was asked, not of those that answered.

    An answer that the referee calls a mismatch is no majority's, however many peers give it.
    """
    table = [[relation(one, other) for other in answers] for one in answers]
    counts = [row.count(Relation.AGREES) for row in table]
    able = [at for at, one in enumerate(answers) if one.verdict is not Verdict.MISMATCH and 2 * counts[at] > panel]
    if able:
        chosen = max(able, key=lambda at: (counts[at], -at))
        return Agreement(chosen, tuple(table[chosen]))
    return Agreement(None, tuple(_worst(row) for row in table))


def early_majority(answers: Sequence[ComparedAnswer], panel: int) -> int | None:
    """The place of an answer that more than half of the panel give, digest for digest, whatever the others answer."""
    for at, one in enumerate(answers):
        if 2 * sum(other.key == one.key for other in answers) > panel:
            return at
    return None


def _worst(row: Sequence[Relation]) -> Relation:
    if Relation.DIFFERS in row:
        return Relation.DIFFERS
    return Relation.AGREES if row.count(Relation.AGREES) > 1 else Relation.NOT_COMPARED  # it agrees with itself
