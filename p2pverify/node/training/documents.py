"""Training rounds as documents. Everything in them follows from the newest final view."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count

ModeName = Literal["open", "held-out", "reported"]
PhaseName = Literal["sealing", "opening", "reporting", "disclosing", "voting"]
FindingName = Literal["right", "false", "unseen", "broken"]
_PEERS = {"description": "peer ids"}
_REPEATS = {"description": "the round that it repeats without erased rows; null if none"}
_MICRONATS = {"description": "in micronats, millionths of a nat"}


@dataclass(frozen=True, kw_only=True)
class ContributionDocument:
    """One contributor of a decided round. `late` counts the cuts from the opening of the round to its seal."""

    peer_id: str
    finding: FindingName
    credit: int = field(metadata=_MICRONATS)
    marked: bool = field(metadata={"description": "whether its update did harm on most of the others' rows"})
    rows: Count
    late: Count
    dataset: str = field(metadata={"description": "the id of the data set's record"})


@dataclass(frozen=True, kw_only=True)
class ClosedRoundDocument:
    """A round that is over. `agreed` of `voters` members gave the decided result; both are 0 of a void round."""

    number: Count
    base: Count = field(metadata={"description": "the version from which contributors trained"})
    version: Count | None = field(metadata={"description": "the version that it made; null if the base was kept"})
    decided: bool
    epoch: Count
    gain: int = field(metadata=_MICRONATS)
    agreed: Count
    voters: Count
    repeats: Count | None = field(metadata=_REPEATS)
    contributions: tuple[ContributionDocument, ...]


@dataclass(frozen=True, kw_only=True)
class OpenRoundDocument:
    """A round that is open. `votes_sealed` and `votes_opened` count members of the `electorate`."""

    number: Count
    base: Count
    phase: PhaseName
    opened_epoch: Count
    repeats: Count | None = field(metadata=_REPEATS)
    expected: tuple[str, ...] = field(metadata=_PEERS)
    sealed: tuple[str, ...] = field(metadata=_PEERS)
    opened: tuple[str, ...] = field(metadata=_PEERS)
    losses_sealed: Count = field(metadata={"description": "owners that sealed the losses on their rows, in mode 2"})
    losses_opened: Count
    electorate: Count
    votes_sealed: Count
    votes_opened: Count
    own: str | None = field(metadata={"description": "what this node still has to do in it; null if nothing"})


@dataclass(frozen=True, kw_only=True)
class TrainedLineDocument:
    """A line that is trained. `rounds` is the number of decided rounds after which there are no more.

    `decided` counts the rounds that stand: one that is repeated, because rows of it were erased, stands no more.
    """

    line: str
    trainer: str
    mode: ModeName
    rounds: Count
    decided: Count
    newest: Count = field(metadata={"description": "the number of the newest round; void ones count too"})
    houses_needed: Count
    houses_ready: Count = field(metadata={"description": "houses that could contribute to a round that opens now"})
    quarantined: tuple[str, ...] = field(metadata=_PEERS)
    replays: bool = field(metadata={"description": "whether rounds are repeated after an erasure"})
    to_repeat: tuple[Count, ...] = field(
        metadata={"description": "the rounds that are to be repeated, with the open one"}
    )
    open: OpenRoundDocument | None
    closed: tuple[ClosedRoundDocument, ...] = field(metadata={"description": "the newest ones, the oldest first"})


@dataclass(frozen=True, kw_only=True)
class RoundsDocument(ApiDocument):
    """The rounds of all trained lines in the newest final view. `cut` is null before the first final cut."""

    schema: Literal["p2pverify/rounds/1"]
    network: str
    cut: str | None
    epoch: Count
    lines: tuple[TrainedLineDocument, ...]
