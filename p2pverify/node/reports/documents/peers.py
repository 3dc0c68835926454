"""The connected peers as a document."""

from dataclasses import dataclass
from typing import Literal

from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.node.reports.documents.shape import ApiDocument


@dataclass(frozen=True, kw_only=True)
class NeighbourDocument:
    """A connected peer of the network."""

    peer_id: str
    address: str
    outbound: bool
    in_mesh: bool
    standing: StandingName | None


@dataclass(frozen=True, kw_only=True)
class PeersDocument(ApiDocument):
    """The connected peers."""

    schema: Literal["p2pverify/peers/1"]
    peers: tuple[NeighbourDocument, ...]
