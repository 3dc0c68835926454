"""A node's status as a document: its identity, its cuts, its jobs, and what it waits for."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.lines.documents import OwnVersion
from p2pverify.node.reports.documents.scores import ScoreDocument, StandingName
from p2pverify.node.reports.documents.shape import CLASS, ApiDocument, Count, Weight


@dataclass(frozen=True, kw_only=True)
class Due:
    """The cut of an epoch, and the seconds until it is due; 0 if it is due already."""

    epoch: int
    due_s: Count


@dataclass(frozen=True, kw_only=True)
class FinalCutDocument:
    """The newest final cut."""

    cut: str
    epoch: int
    index: Count
    ledger_root: str
    view_root: str


@dataclass(frozen=True, kw_only=True)
class RecentCut(FinalCutDocument):
    """A final cut; `records` is the number of records that its view counts."""

    records: Count


@dataclass(frozen=True, kw_only=True)
class LackDocument:
    """A condition for weight that is not met: the member `has` less than it `needs`."""

    what: str
    has: int
    needs: int


@dataclass(frozen=True, kw_only=True)
class WayToWeight:
    """What is missing for weight, when the next peer can get weight, and how many peers have earned it and wait."""

    lacks: tuple[LackDocument, ...]
    turn: Due
    earned: Count


@dataclass(frozen=True, kw_only=True)
class JobsDocument:
    """The engine's jobs since the start, and the waiting ones.

    A late job ended after its deadline. A dropped job was never begun, because it would have ended late.
    """

    jobs_waiting: Count
    oldest_waiting_ms: Count
    jobs_done: Count
    jobs_failed: Count
    jobs_late: Count
    jobs_dropped: Count
    dropped_requests: Count
    dropped_votes: Count
    dropped_audits: Count
    engine_busy_ms: Count


@dataclass(frozen=True, kw_only=True)
class ReachDocument:
    """How other peers reach this node: `why`, and as `advice` what the operator can do about it.

    `asked` peers, each of another address group, tried to dial it, and `reached` of them did. `serves` is the number of
    peers that are reached through this node.
    """

    state: Literal["direct", "relayed", "unreachable", "unknown"]
    why: str
    advice: str
    asked: Count
    reached: Count
    relays: tuple[str, ...]
    serves: Count
    mapped: str = field(metadata={"description": "the router's address; empty without --upnp"})


@dataclass(frozen=True, kw_only=True)
class StateTrust:
    """The state with which this home began, and why it was believed: a cut id from its operator, or what `peers` of
    `asked` first peers in `groups` address groups hold on their paths.
    """

    by: Literal["operator", "bootstrap", "own"]
    cut: str
    epoch: Count
    peers: Count
    asked: Count
    groups: Count


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """What this node keeps on its disk: its records, and the bytes of its database."""

    history: Literal["window", "all"] = field(
        metadata={"description": "'window': only the records above the horizon; 'all': every record"}
    )
    records: Count
    from_epoch: Count = field(metadata={"description": "the epoch of the horizon; 0 before it has moved"})
    bytes: Count


@dataclass(frozen=True, kw_only=True)
class ClockDocument:
    """The clocks of `peers` other peers, each at another address, beside this node's: shown, and never used."""

    peers: Count
    ahead_ms: int | None = field(
        metadata={"description": "by how much their median is ahead of this node; null if nobody told it lately"}
    )


@dataclass(frozen=True, kw_only=True)
class StatusDocument(ApiDocument):
    """The identity and the progress of this node, and what it waits for."""

    schema: Literal["p2pverify/status/1"]
    peer_id: str
    network: str
    network_name: str
    epoch: int = field(metadata={"description": "negative before the network begins"})
    epoch_s: float
    model: str
    class_: str = field(metadata=CLASS)
    engine: str
    uptime_s: Count
    addresses: tuple[str, ...]
    reach: ReachDocument
    clock: ClockDocument
    neighbours: Count
    records: Count
    stored: StoredDocument
    standing: StandingName | None = field(
        metadata={"description": "null for a peer that is no member in the newest final view"}
    )
    own: ScoreDocument | None = field(metadata={"description": "this peer's row of the newest final view"})
    ready: bool
    reasons: tuple[str, ...]
    final: FinalCutDocument | None
    final_age_s: Count | None = field(metadata={"description": "since the newest final cut was due"})
    next_cut: Due
    first_score: Due | None = field(metadata={"description": "null if there is a score, or nobody to ask this peer"})
    weight: Weight
    way_to_weight: WayToWeight | None = field(metadata={"description": "null for a peer that has weight"})
    recent_cuts: tuple[RecentCut, ...]  # oldest first
    quiet: bool
    jobs: JobsDocument
    version: OwnVersion | None = field(
        default=None, metadata={"description": "the version of its model; null if the model has no line"}
    )
    coming: tuple[str, ...] = field(
        default=(), metadata={"description": "approved amendments of the rules that take effect later"}
    )
    rounds: tuple[str, ...] = field(
        default=(), metadata={"description": "open training rounds in which this node has still something to do"}
    )
    checkpoint: str | None = field(
        default=None, metadata={"description": "a cut that newcomers can trust; null before the network's first ones"}
    )
    began_with: StateTrust | None = field(
        default=None, metadata={"description": "null for a home that began with the network's first record"}
    )
