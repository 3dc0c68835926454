"""Records that wait for an earlier record of their author. Their number is bounded."""

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Record

WAITING_PER_AUTHOR_MAX = 4096
WAITING_MAX = 65_536


class Waiting:
    """Records by author and the id of the record before them."""

    def __init__(self) -> None:
        self._records: dict[bytes, dict[bytes, Record]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, author: bytes) -> int:
        """How many records of an author wait."""
        return len(self._records.get(author, ()))

    def has(self, author: bytes, prev: bytes) -> bool:
        """Whether a record of this author waits for the record `prev`."""
        return prev in self._records.get(author, ())

    def put(self, record: Record) -> None:
        """Have a record wait. Raises GossipIgnore if another one waits for the same, or if too many wait."""
        waiting = self._records.get(record.author, {})
        if record.header.prev in waiting:
            raise GossipIgnore("known")
        if len(waiting) >= WAITING_PER_AUTHOR_MAX or self._count >= WAITING_MAX:
            raise GossipIgnore("too many records wait for an earlier one")
        self._records.setdefault(record.author, waiting)[record.header.prev] = record
        self._count += 1

    def take(self, author: bytes, prev: bytes) -> Record | None:
        """Take away the record that waits for `prev`."""
        waiting = self._records.get(author)
        found = None if waiting is None else waiting.pop(prev, None)
        if found is not None:
            self._count -= 1
            if not waiting:
                del self._records[author]
        return found
