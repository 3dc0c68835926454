"""The ports for what clients leave behind on disk: their receipts, and the keys that were given to them."""

from dataclasses import dataclass
from typing import Literal, Protocol

from p2pverify.node.clients.desk import Client
from p2pverify.node.user_error import UserError


class BookError(UserError):
    """The clients' database cannot be used. `reason` says why, and `hint` says what to do."""


ReportWish = Literal["never", "digest", "reveal", "private"]
"""What others may learn of a wrong answer: nothing; digests; or the question too, but only the seats of a dispute."""


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt on disk. `client` is the id of who may read it, and `document` is a ReceiptDocument in JSON."""

    id: str
    client: str
    document: bytes
    report: ReportWish = "never"


class ReceiptBook(Protocol):
    """Durable receipts; the oldest make room for new ones."""

    async def keep(self, receipt: KeptReceipt) -> None:
        """Keep a receipt; after the return it is on disk. Raises BookError."""
        ...

    async def find(self, receipt_id: str) -> KeptReceipt | None:
        """A receipt, None if there is none or it was pruned. Raises BookError."""
        ...


class KeyRing(Protocol):
    """The keys of clients on other machines. Only their hashes are stored."""

    async def find(self, secret: str) -> Client | None:
        """The client with this key; None if it is not valid. Raises BookError."""
        ...
