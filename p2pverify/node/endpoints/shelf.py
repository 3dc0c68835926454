"""The port of the address book on disk: what a node keeps of its peers from one start to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

KEPT_PEERS_MAX = 1024
STATEMENT_BYTES_MAX = 2048


@dataclass(frozen=True, slots=True)
class KeptPeer:
    """One row. The network adapter defines and checks the bytes of `statement`.

    `met_ms` is the Unix time of our last connection to the peer; 0 if there was none. `linked_ms` is how long the
    connection at the time of writing had lasted; 0 if there was none. Addresses of less reach than `reach_least` were
    not in use.
    """

    peer: bytes  # 32 B
    statement: bytes
    met_ms: int
    failures: int
    linked_ms: int
    reach_least: int


class PeerShelf(Protocol):
    """Keeps the rows. Each `save` replaces all of them."""

    def load(self) -> Sequence[KeptPeer]:
        """The rows of the last `save`, at most KEPT_PEERS_MAX. Blocks. Damaged rows are left out."""
        ...

    async def save(self, rows: Sequence[KeptPeer]) -> bool:
        """Write the rows. False if the disk did not take them."""
        ...
