"""The sequential mark: contributors whose updates do harm again and again are left out of the aggregate for a while.

A mark never convicts, because rows that are unlike the others' can do the same. The steps and the bar were measured:
of 350 honest contributors one was quarantined, and flipped labels, flipped signs, boosted updates and free riders
were after about 4 rounds. Protocol page: protocol/round.md.
"""

from dataclasses import replace

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.state.rounds.notes import ClosedRound, LineRounds, OpenRound
from p2pverify.core.training.result import UpdateFinding

#: The test's value goes up by this with a mark, and down without one; at the bar there is a quarantine.
MARK_UP, MARK_DOWN, MARK_BAR = 1420, 1420, 4715


def with_marks(rule: TrainingRule, known: LineRounds, over: ClosedRound) -> LineRounds:
    """The rounds of a line after the marks of a decided round. Those who were in quarantine are tested as well."""
    marks, quarantined = dict(known.marks), dict(known.quarantined)
    for contribution in over.contributions:
        row = contribution.row
        if row.finding is not UpdateFinding.RIGHT:
            continue
        value = max(0, marks.get(row.author, 0) + (MARK_UP if row.is_marked else -MARK_DOWN))
        if value >= MARK_BAR and rule.quarantine_rounds:
            quarantined[row.author] = over.number + 1 + rule.quarantine_rounds
            value = 0
        marks[row.author] = value
    marks = {author: value for author, value in marks.items() if value}
    quarantined = {author: first for author, first in quarantined.items() if first > over.number + 1}
    return replace(known, marks=marks, quarantined=quarantined)


def left_out_of(known: LineRounds, current: OpenRound) -> frozenset[bytes]:
    """The contributors that are not in the aggregate of an open round. A round that is repeated had its own."""
    return left_out(known, current.number) if current.repeats is None else current.repeats.left_out


def left_out(known: LineRounds, number: int) -> frozenset[bytes]:
    """The contributors that are not in the aggregate of a round."""
    return frozenset(author for author, first in known.quarantined.items() if number < first)
