"""The rows of training rounds behind the root of the lines of a view."""

from p2pverify.core.encoding.canon import encode
from p2pverify.core.state.rounds.notes import ClosedRound, ContributionNote, LineRounds, OpenRound
from p2pverify.core.training.result import signed_value


def rounds_row(index: int, known: LineRounds) -> bytes:
    """The canonical row of the rounds of a line."""
    return encode(
        [
            "rounds",
            index,
            known.newest,
            known.decided,
            None if known.open is None else _open_row(known.open),
            [[author, value] for author, value in sorted(known.marks.items())],
            [[author, first] for author, first in sorted(known.quarantined.items())],
            [_closed_row(over) for over in known.closed],
            [past.number for past in known.replay.todo],
        ]
    )


def _open_row(current: OpenRound) -> list[object]:
    vote = current.vote
    return [
        current.number,
        current.base,
        current.phase.name.lower(),
        sorted(current.expected),
        [[author, seal.commit, seal.late] for author, seal in sorted(current.seals.items())],
        [[author, opened.trained.update, opened.shown] for author, opened in sorted(current.updates.items())],
        [] if vote is None else sorted(vote.electorate),
        [] if vote is None else [[voter, sealed.commit] for voter, sealed in sorted(vote.commits.items())],
        [] if vote is None else [[voter, opened.output] for voter, opened in sorted(vote.votes.items())],
        0 if current.repeats is None else current.repeats.number,
        [[owner, note.commit, bool(note.losses)] for owner, note in sorted(current.losses.items())],
    ]


def _closed_row(over: ClosedRound) -> list[object]:
    said = [over.number, over.base, over.version + 1, over.epoch, signed_value(over.gain), list(over.voters)]
    return [*said, [_contribution(each) for each in over.contributions], over.repeats]


def _contribution(note: ContributionNote) -> list[object]:
    return [*note.row.to_value(), note.rows, note.late, note.dataset]
