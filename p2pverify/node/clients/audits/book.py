"""The port for audits on disk: what this node found when it scored answers of receipts again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from p2pverify.core.inference.treatment import Rescored


@dataclass(frozen=True, slots=True)
class KeptAudit:
    """One answer of a receipt, scored again. `place` is the answer's place among the receipt's answers.

    `peer` (32 B) gave the answer, `class_index` is its class, and `at_ms` the time of the audit (Unix ms).
    """

    receipt: str
    place: int
    peer: bytes
    class_index: int
    found: Rescored
    at_ms: int


class AuditBook(Protocol):
    """Durable audits; the oldest make room for new ones. All methods raise BookError."""

    async def keep(self, audit: KeptAudit) -> None:
        """Keep an audit; after the return it is on disk. A second audit of one answer is left out."""
        ...

    async def of(self, receipt_id: str) -> Sequence[KeptAudit]:
        """The audits of a receipt, in their order."""
        ...

    async def all(self) -> Sequence[KeptAudit]:
        """All audits, in their order."""
        ...

    async def receipts(self) -> Sequence[str]:
        """The ids of the stored receipts of which no answer was audited, the oldest first."""
        ...
