"""A peer's passport as a document: its bytes, and how old they are."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count


@dataclass(frozen=True, kw_only=True)
class PassportDocument(ApiDocument):
    """One peer's row of a certified view, with its proof and the signatures of the cut."""

    schema: Literal["p2pverify/passport-document/1"]
    peer_id: str
    network: str
    cut: str
    epoch: Count
    passport: str = field(metadata={"description": "the bytes of the file in hex"})
