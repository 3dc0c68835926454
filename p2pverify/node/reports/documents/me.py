"""A client's own figures as a document: what this node found when it scored answers again, beside the network's."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.node.reports.documents.shape import ApiDocument, Count, Ratio


@dataclass(frozen=True, kw_only=True)
class OwnFigures:
    """Own audits of one peer or of several, beside the network's audits of the same peers in the newest final view."""

    network_low: Ratio
    network_high: Ratio
    network_audits: Count
    network_wrong: Count
    audits: Count = field(metadata={"description": "answers to this node's clients that it has scored again"})
    wrong: Count
    unclear: Count = field(metadata={"description": "audits besides that say nothing about the peer"})
    at_most: Ratio = field(metadata={"description": "with 95 % confidence at most this share of the answers is wrong"})
    value: Count = field(metadata={"description": "the sequential test over own audits, in 1/1024 nat"})
    accused: bool = field(metadata={"description": "whether this test has reached the threshold of a conviction"})
    accused_after: Count | None = field(
        metadata={"description": "the audits of a peer, wrong or not, with which it first reached the threshold"}
    )
    chance: Ratio = field(
        metadata={
            "description": "the chance that own audits have at least so many wrong answers, if the peer treats clients "
            "as it treats auditors (Fisher's exact test)"
        }
    )


@dataclass(frozen=True, kw_only=True)
class PeerFigures:
    """The figures of one peer. It has no standing if the newest final view does not have it."""

    peer_id: str
    standing: StandingName | None
    figures: OwnFigures


@dataclass(frozen=True, kw_only=True)
class MeDocument(ApiDocument):
    """How peers treat the clients of this node, by its own audits of stored receipts."""

    schema: Literal["p2pverify/me/1"]
    peer_id: str
    audit_rate: Ratio = field(metadata={"description": "the share of receipts that this node audits"})
    all: OwnFigures
    peers: tuple[PeerFigures, ...]
