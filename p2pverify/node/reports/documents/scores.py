"""A view as a document: one row for each member, and the speeds by claimed hardware."""

from dataclasses import dataclass, field, replace
from typing import Literal

from p2pverify.node.reports.documents.shape import CLASS, ApiDocument, Count, Ratio, Weight

StandingName = Literal["newcomer", "probation", "trusted", "suspect", "convicted", "gone"]


@dataclass(frozen=True, kw_only=True)
class SpeedDocument:
    """The hardware that a peer claims, and its speed as challengers measured it; null if too few have measured it."""

    claim: str
    fit: str
    challengers: Count
    token_ms: float | None
    first_token_ms: int | None
    tokens_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class LossesRerun:
    """The disputes that count against a peer, and for how many this node's own result is the decision or not."""

    lost: Count
    confirmed: Count
    refuted: Count


@dataclass(frozen=True, kw_only=True)
class ScoreDocument:
    """One member in a view. `low` and `high` are the 95 % interval of its agreement rate."""

    peer_id: str
    class_: str = field(metadata=CLASS)
    standing: StandingName
    reason: str | None = field(
        metadata={"description": "why it is suspect, convicted, or without the weight that it had"}
    )
    weight: Weight
    low: Ratio
    high: Ratio
    audits: Count
    agreements: Count
    dissents: Count
    challengers: Count
    last_audit_epoch: Count | None
    availability: Ratio | None
    no_shows: Count
    slots_owed: Count
    unopened: Count
    cusum: Count
    threshold: Count
    long_cusum: Count = field(metadata={"description": "value of the sequential test over long answers alone"})
    long_threshold: Count
    judged: Count = field(metadata={"description": "answers in the pooled test across classes"})
    capital: int = field(metadata={"description": "capital of the pooled test, as a logarithm in 1/1024 nat"})
    capital_threshold: Count
    convicted_epoch: Count | None
    convicted_after_audits: Count | None
    conviction: str
    fork_until_epoch: Count | None = field(
        metadata={"description": "the last epoch of a fork's penalty, while it lasts"}
    )
    contested_by: tuple[str, ...] = field(
        metadata={"description": "members without whose objected decisions the conviction would not stand"}
    )
    rerun: LossesRerun | None = field(
        metadata={"description": "what this node found when it computed them itself: the only part of no view"}
    )
    sponsors: tuple[str, ...] = field(metadata={"description": "members with weight that stand for it"})
    rests: bool = field(metadata={"description": "whether its weight was put to rest after a long silence"})
    hardware: SpeedDocument | None
    version: Count | None = field(
        default=None, metadata={"description": "the version of its model that it serves; null if the model has none"}
    )
    behind: bool = field(
        default=False, metadata={"description": "whether this version is retired or recalled, so that nobody asks it"}
    )
    handovers: Count = field(default=0, metadata={"description": "how often it moved to another key"})
    handed_epoch: Count | None = field(default=None, metadata={"description": "the epoch in which it moved last"})
    moves_to: str | None = field(default=None, metadata={"description": "the peer id to which it is about to move"})

    @property
    def in_view(self) -> "ScoreDocument":
        """The row without what one node found. All peers with the same view show it."""
        return replace(self, rerun=None)


@dataclass(frozen=True, kw_only=True)
class HardwareGroup:
    """The speeds of a class's peers that claim one hardware: least, median and greatest; null if none was measured."""

    class_: str = field(metadata=CLASS)
    claim: str
    peers: Count
    measured: Count
    consistent: Count
    inconsistent: Count
    first_token_ms: tuple[int, ...] | None
    tokens_per_s: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class ScoresDocument(ApiDocument):
    """A view: of the newest final cut, or provisional. Before the first final cut, `final` is false and `cut` null."""

    schema: Literal["p2pverify/scores/1"]
    network: str
    final: bool
    cut: str | None
    epoch: Count
    scores: tuple[ScoreDocument, ...]
    hardware: tuple[HardwareGroup, ...]

    def row(self, peer_id: str) -> ScoreDocument | None:
        """A peer's row, or None if it is no member."""
        return next((score for score in self.scores if score.peer_id == peer_id), None)
