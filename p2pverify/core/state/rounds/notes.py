"""What a state notes of training rounds. These are values only: `take` and `phases` compute the next ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pverify.core.blind.values import BlindVote
from p2pverify.core.records.payloads.rounds.seal import Trained
from p2pverify.core.training.losses import LossTable
from p2pverify.core.training.result import ResultRow, RoundResult


class TrainingPhase(Enum):
    """The phases of an open round. The table in `phases` shows how they follow each other."""

    SEALING = auto()  # contributors train, and seal their updates
    OPENING = auto()  # they open their updates, and show held-out rows
    VOTING = auto()  # members vote blind on the result
    REPORTING = auto()  # mode 2, before the vote: owners seal the losses of the updates on their rows
    DISCLOSING = auto()  # they open them


@dataclass(frozen=True, slots=True)
class SealedUpdate:
    """A counted seal, the number of its record, its data set (id of the record), and how many cuts late it came."""

    commit: bytes
    seq: int
    dataset: bytes
    late: int


@dataclass(frozen=True, slots=True)
class OpenedUpdate:
    """A counted update, and the rows that its author has to show.

    `root`, `rows` and `erased` are those of the data set when it was counted: its root, the number of its rows with the
    erased ones, and how many are erased. The rows are ordered by `seed`; the first `held` are held out, and those from
    `position` on are shown in this round. `shown` (SHA-256) has `shown_bytes` bytes.
    """

    trained: Trained
    shown: bytes
    shown_bytes: int
    root: bytes
    rows: int
    seed: bytes
    held: int
    position: int
    erased: int


@dataclass(frozen=True, slots=True)
class LossNote:
    """A counted loss seal of mode 2. `losses` are those that opened it; empty until then."""

    commit: bytes
    losses: LossTable = ()


@dataclass(frozen=True, slots=True)
class PastUse:
    """The part of a contributor in a decided round: its data set, and how many held-out rows were shown before."""

    dataset: bytes
    position: int


@dataclass(frozen=True, slots=True)
class RepeatableRound:
    """A decided round of a line that replays, with all that is needed to repeat it.

    `number` and `beacon` draw the orders of trainings, and `drawn` those of credit: they are those of the first run. It
    led from the version `base` to the version `outcome`. `uses` has the contributors whose updates were right, without
    `left_out` from its aggregate. `is_erased` says that rows were erased since on which it was run.
    """

    number: int
    beacon: bytes
    drawn: bytes
    base: int
    outcome: int
    uses: Mapping[bytes, PastUse]  # by author
    left_out: frozenset[bytes]
    is_erased: bool = False


@dataclass(frozen=True, slots=True)
class RoundReplay:
    """The replay of a line: which rounds are still to be repeated, and since when.

    `todo` are those rounds, the oldest first. `moved` has for each version that an original round led to the one that
    its repetition led to. `began` is the index of the cut that began the replay. The next one may begin at the index
    `rests_until`.
    """

    todo: tuple[RepeatableRound, ...] = ()
    moved: Mapping[int, int] = field(default_factory=dict)
    began: int = 0
    rests_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVote(BlindVote):
    """The vote on the result of a round. `results` has the opened results by their digests."""

    results: Mapping[bytes, RoundResult] = field(default_factory=dict)

    @property
    def quorum(self) -> int:
        """More than two thirds, because the result becomes a model: two thirds cannot decide differently elsewhere."""
        return 2 * len(self.electorate) // 3 + 1


@dataclass(frozen=True, slots=True)
class OpenRound:
    """An open round. `base` is the version (its number) from which contributors train, `manifest` its digest.

    `opened_index` is the path index of the cut that opened the round, and `beacon` that cut's beacon. `expected` are
    the contributors with fitting data at that cut. `closed_index` is that of the cut that closed the sealing, or -1,
    and `drawn` its beacon. If the round `repeats` an earlier one, both beacons are those of that one.
    """

    number: int
    base: int
    manifest: bytes
    opened_index: int
    opened_epoch: int
    beacon: bytes
    expected: frozenset[bytes]
    phase: TrainingPhase = TrainingPhase.SEALING
    closed_index: int = -1
    drawn: bytes = bytes(32)
    seals: Mapping[bytes, SealedUpdate] = field(default_factory=dict)  # by author
    updates: Mapping[bytes, OpenedUpdate] = field(default_factory=dict)  # by author
    vote: ResultVote | None = None
    vote_epoch: int = -1  # of the cut that opened the vote
    repeats: RepeatableRound | None = None
    losses: Mapping[bytes, LossNote] = field(default_factory=dict)  # by owner, in mode 2
    reported_index: int = -1  # of the cut that began to wait for losses, sealed or opened; -1 in other modes

    @property
    def seed_number(self) -> int:
        """The number of the round that draws the orders of trainings and of credit."""
        return self.number if self.repeats is None else self.repeats.number


@dataclass(frozen=True, slots=True)
class ContributionNote:
    """One contributor in a decided round: its result, the rows that it trained on, and its lateness in cuts."""

    row: ResultRow
    rows: int
    late: int
    dataset: bytes


@dataclass(frozen=True, slots=True)
class ClosedRound:
    """A round that is over. `version` is the number that it made, or -1: void, or the base was kept."""

    number: int
    base: int
    version: int
    epoch: int
    gain: int  # micronats
    contributions: tuple[ContributionNote, ...]  # sorted by author; none of a void round
    voters: tuple[int, int] = (0, 0)  # how many gave the decided result, and of how many
    repeats: int = 0  # the number of the round that it repeated, 0 if none


@dataclass(frozen=True, slots=True)
class LineRounds:
    """The rounds of one line. `newest` is the number of the newest round. `decided` counts the decided ones that stand:
    a round that is repeated does not stand any more.

    `marks` are the values of the sequential mark, and `quarantined` has the number of the first round in which a
    contributor is in the aggregate again. `closed` are the newest rounds that are over. `past` are all decided rounds
    that stand, of a line that replays.
    """

    newest: int = 0
    decided: int = 0
    open: OpenRound | None = None
    marks: Mapping[bytes, int] = field(default_factory=dict)
    quarantined: Mapping[bytes, int] = field(default_factory=dict)
    closed: tuple[ClosedRound, ...] = ()
    past: tuple[RepeatableRound, ...] = ()
    replay: RoundReplay = RoundReplay()


#: Of a line of which no round has opened.
NO_ROUNDS = LineRounds()
