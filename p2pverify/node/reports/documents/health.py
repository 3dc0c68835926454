"""Short answers: errors, whether the node answers and is ready, and the answer to a leave."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument


@dataclass(frozen=True, kw_only=True)
class ErrorDocument(ApiDocument):
    """The answer to every request that fails."""

    schema: Literal["p2pverify/error/1"]
    error: str = field(metadata={"description": "one word, for programs"})
    message: str = field(metadata={"description": "a sentence, for people"})


@dataclass(frozen=True, kw_only=True)
class Live(ApiDocument):
    """The process answers."""

    schema: Literal["p2pverify/live/1"]
    live: bool


@dataclass(frozen=True, kw_only=True)
class Ready(ApiDocument):
    """Whether the node takes part in the network; if not, why."""

    schema: Literal["p2pverify/ready/1"]
    ready: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SponsorDocument(ApiDocument):
    """Whether the node stands for the newcomer now, or will as soon as it may sign; if not, `reason` says why."""

    schema: Literal["p2pverify/sponsor/1"]
    peer_id: str
    sponsored: bool
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class LeaveDocument(ApiDocument):
    """The node has signed its leave, or will as soon as it may sign; `reasons` say why it may not yet."""

    schema: Literal["p2pverify/leave/1"]
    leaving: bool
    reasons: tuple[str, ...]
