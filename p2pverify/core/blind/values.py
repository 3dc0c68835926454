"""What a state notes of a blind vote. These are values only: the other modules here compute them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pverify.core.blind.committees import EVERYONE


@dataclass(frozen=True, slots=True)
class Sealed:
    """A counted commit: the seal, the number of its record, and the stage of the vote in which it was made."""

    commit: bytes
    seq: int
    stage: int


@dataclass(frozen=True, slots=True)
class OpenedAnswer:
    """An opened answer. `shown` is set if other voters had opened their answers before this one was sealed."""

    output: bytes
    shown: bytes | None = None


class RoundPhase(Enum):
    """The phases of a round. The table in `rounds` shows how they follow each other."""

    DRAWING = auto()  # a committee waits for the beacon that draws its lots
    SEALING = auto()  # voters seal their answers
    OPENING = auto()  # the sealing is closed, and voters open their answers


@dataclass(frozen=True, slots=True)
class Round:
    """The voting in one stage: by a committee, or by everybody.

    `began_index` is the path index of the cut with which the round began. `sealed_index` is that of the cut that
    closed its sealing, or -1. Only a committee has the other fields: the `beacon` that drew its lots, the number of
    `voters` at the newest draw of the vote, the `lots` of the voters that sealed, and the `seats`. A committee that was
    named when its round began has seats from then on, and no lots.
    """

    stage: int
    began_index: int
    phase: RoundPhase
    sealed_index: int = -1
    beacon: bytes = b""
    voters: int = 0
    lots: Mapping[bytes, bytes] = field(default_factory=dict)  # voter -> VRF output
    seats: frozenset[bytes] = frozenset()

    @property
    def is_committee(self) -> bool:
        return self.stage != EVERYONE

    @property
    def is_named(self) -> bool:
        """Whether it is the round of a committee without lots."""
        return bool(self.seats) and not self.lots

    @property
    def is_by_lot(self) -> bool:
        """Whether voters need a lot to seal an answer."""
        return self.is_committee and not self.is_named


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindVote:
    """A vote on one question, and the `round` that it is in. What is asked stands in the kinds of votes.

    `opened_index` is the path index of the cut that opened the vote. `closed_index` is that of the first cut that
    closed the sealing of a round, or -1. `shown` is the work that most voters for the decision showed. `heard` are the
    voters that had a seat in an earlier round.
    """

    electorate: frozenset[bytes]
    opened_index: int
    round: Round
    closed_index: int = -1
    commits: Mapping[bytes, Sealed] = field(default_factory=dict)  # by voter
    votes: Mapping[bytes, OpenedAnswer] = field(default_factory=dict)  # by voter
    decision: bytes | None = None
    decided_index: int = -1
    shown: Mapping[int, bytes] = field(default_factory=dict)  # by stage
    heard: frozenset[bytes] = frozenset()

    @property
    def parties(self) -> frozenset[bytes]:
        """Members that the question is about. They have no seat in a committee."""
        return frozenset()

    @property
    def sealed_before(self) -> frozenset[bytes]:
        """Members whose answers were sealed in another record before the vote opened."""
        return frozenset()

    @property
    def first_stage(self) -> int:
        """The stage in which the vote opens."""
        return EVERYONE

    @property
    def quorum(self) -> int:
        """The equal votes that decide where everybody votes."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class VoteTurns:
    """Who could open its answer in a vote at a cut, as later cuts ask: `everybody`, or these `voters`.

    Those that had sealed their answers before the vote can open them once the sealing `is_closed`.
    """

    is_closed: bool
    everybody: bool = False
    voters: frozenset[bytes] = frozenset()
