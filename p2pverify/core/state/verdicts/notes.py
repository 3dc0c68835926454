"""What a state notes of audits, duties and disputes. These are values only: the other modules here compute them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pverify.core.contract.network import Network
from p2pverify.core.inference.compare import Measures
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.lots import EVERYONE, DisputeKey


@dataclass(frozen=True, slots=True)
class Panel:
    """The asked peers of a slot and their classes at the anchor; `is_across`: a referee judges the answers.

    All serve the challenger's `version`. `contract` is the contract among the members that do.
    """

    targets: tuple[bytes, ...]
    classes: tuple[int, ...]
    is_across: bool
    version: int
    contract: Network


@dataclass(frozen=True, slots=True)
class Sealed:
    """A counted commit: the seal, the number of its record, and the stage of the dispute in which it was made."""

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
    """The voting in one stage of a dispute: by a committee, or by everybody.

    `began_index` is the path index of the cut with which the round began. `sealed_index` is that of the cut that
    closed its sealing, or -1. Only a committee has the other fields: the `beacon` that drew its lots, the number of
    `voters` at the newest draw of the dispute, the `lots` of the voters that sealed, and the `seats`.
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


@dataclass(frozen=True, slots=True)
class Dispute:
    """An open or decided dispute, and the `round` that it is in.

    `opened_index` is the path index of the first cut that held both audit and duty. `closed_index` is that of the first
    cut that closed the sealing of a round, or -1. `measures` come from votes across classes, by the digest that is
    voted on. `shown` is the work that most voters for the decision showed. `heard` are the voters that had a seat in an
    earlier round.
    """

    audit: Audit
    opened_index: int
    opened_epoch: int
    duty_seq: int
    electorate: frozenset[bytes]
    sampled: bool
    is_long: bool
    round: Round
    closed_index: int = -1
    commits: Mapping[bytes, Sealed] = field(default_factory=dict)  # by voter
    votes: Mapping[bytes, OpenedAnswer] = field(default_factory=dict)  # by voter
    settled: frozenset[bytes] = frozenset()
    decision: bytes | None = None
    decided_index: int = -1
    has_effect: bool = False  # whether the decision was settled
    objections: Mapping[bytes, bytes] = field(default_factory=dict)  # member -> its own result
    shown: Mapping[int, bytes] = field(default_factory=dict)  # by stage
    measures: Mapping[bytes, Measures] = field(default_factory=dict)
    heard: frozenset[bytes] = frozenset()
    version: int = 0  # the number of the challenger's version at the anchor of the slot

    @property
    def key(self) -> DisputeKey:
        return self.audit.key

    @property
    def is_across(self) -> bool:
        return self.audit.is_across

    @property
    def is_report(self) -> bool:
        return self.audit.is_report  # the `electorate` are its seats then, and `duty_seq` is the report's number


@dataclass(frozen=True, slots=True)
class DutyNote:
    """The digests of the payloads of an author's duty, and of the audits that came before it, by slot."""

    body: bytes
    audits: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditNote:
    """An audit that waits for its duty."""

    audit: Audit
    body: bytes
    seq: int
