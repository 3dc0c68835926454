"""The rules in force and the open amendments as a document."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count


@dataclass(frozen=True, kw_only=True)
class RuledClass:
    """A class of the rules. No peer joins a retired one any more."""

    index: Count
    name: str
    engine: str
    numeric_path: str
    manifest: str
    retired_epoch: Count | None


@dataclass(frozen=True, kw_only=True)
class ShareDocument:
    """A condition of an approval: the weight that an amendment has and needs of all, of founders, or of ready ones."""

    what: Literal["weight", "founders", "ready"]
    has: Count
    needs: Count


@dataclass(frozen=True, kw_only=True)
class AmendmentDocument:
    """An open amendment. `changes` are in words."""

    id: str
    author: str
    opened_epoch: Count
    expiry_epoch: Count
    activation_epoch: Count
    changes: tuple[str, ...]
    features: tuple[Count, ...]
    text: str = field(metadata={"description": "SHA-256 of its rationale"})
    shares: tuple[ShareDocument, ...]
    approved_by: tuple[str, ...]
    ready: tuple[str, ...]
    starts_epoch: Count | None = field(metadata={"description": "null while it is not approved"})
    starts_s: Count | None = field(metadata={"description": "seconds until then"})
    runs: bool = field(metadata={"description": "whether this program can run the rules that it makes"})
    refused: str | None = field(metadata={"description": "why its changes are not allowed"})
    accepted: bool = field(metadata={"description": "whether this node follows it without a further word"})


@dataclass(frozen=True, kw_only=True)
class RulesDocument(ApiDocument):
    """The rules at the newest final cut, and the open amendments."""

    schema: Literal["p2pverify/rules/1"]
    network: str
    epoch: Count
    root: str = field(metadata={"description": "the rules root, which each amendment names"})
    amendments_in_force: Count
    since_epoch: Count = field(metadata={"description": "the epoch of the last change; 0 for the first rules"})
    rules: dict[str, Count]
    referee: str | None
    features: tuple[Count, ...]
    classes: tuple[RuledClass, ...]
    amendments: tuple[AmendmentDocument, ...]
    stopped: str | None = field(metadata={"description": "why this node does not go on from the newest final cut"})


@dataclass(frozen=True, kw_only=True)
class AcceptDocument(ApiDocument):
    """Whether this node follows an amendment from now on; if not, the `reason`."""

    schema: Literal["p2pverify/accept/1"]
    amendment: str
    accepted: bool
    reason: str | None
