"""The newest audits and the disputes as documents."""

from dataclasses import dataclass
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count

AuditStatus = Literal[
    "waiting", "agreed", "inconclusive", "disputed", "decided", "undecided", "closed", "unanswered", "void"
]


@dataclass(frozen=True, kw_only=True)
class AskedPeerDocument:
    """A peer that an audit asked."""

    peer_id: str
    answered: bool


@dataclass(frozen=True, kw_only=True)
class _Listed:
    id: str


@dataclass(frozen=True, kw_only=True)
class AuditDocument(_Listed):
    """An audit in a list."""

    challenger: str
    epoch: Count
    slot: Count
    across: bool
    differ: bool
    asked: tuple[AskedPeerDocument, ...]
    status: AuditStatus


@dataclass(frozen=True, kw_only=True)
class AnyDispute:
    """What is shown of every dispute."""

    challenger: str
    epoch: Count
    slot: Count
    status: Literal["open", "decided"]
    opened_epoch: Count
    electorate: Count
    commits: Count
    votes: Count
    decision: str | None
    losers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DisputeDocument(AnyDispute, _Listed):
    """A dispute of the newest final view. `rerun` holds the decision against this node's own result, if it has one."""

    rerun: Literal["confirmed", "refuted"] | None


@dataclass(frozen=True, kw_only=True)
class AuditsDocument(ApiDocument):
    """The newest audits, and the disputes."""

    schema: Literal["p2pverify/audits/1"]
    audits: tuple[AuditDocument, ...]
    disputes: tuple[DisputeDocument, ...]
