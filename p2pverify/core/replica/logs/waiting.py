"""Records that wait for an earlier record of their author. Their number is bounded, and so is the time."""

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Record

#: Waiting records of one author in a peer, and in the reading of a file, which can have any order.
WAITING_PER_AUTHOR_MAX = 64
WAITING_IN_FILE_MAX = 4096
WAITING_MAX = 65_536
#: For how many epochs a record waits.
WAITING_EPOCHS = 16


class Waiting:
    """Records by author and the id of the record before them, each with the epoch in which it came."""

    def __init__(self, most: int = WAITING_IN_FILE_MAX) -> None:
        self._most = most
        self._records: dict[bytes, dict[bytes, tuple[Record, int]]] = {}
        self._count = 0
        self._epoch = 0

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
        if len(waiting) >= self._most or self._count >= WAITING_MAX:
            raise GossipIgnore("too many records wait for an earlier one")
        self._records.setdefault(record.author, waiting)[record.header.prev] = record, self._epoch
        self._count += 1

    def take(self, author: bytes, prev: bytes) -> Record | None:
        """Take away the record that waits for `prev`."""
        waiting = self._records.get(author)
        found = None if waiting is None else waiting.pop(prev, None)
        if waiting is None or found is None:
            return None
        self._count -= 1
        if not waiting:
            del self._records[author]
        return found[0]

    def drop(self, author: bytes) -> None:
        """Drop the records of an author."""
        self._count -= len(self._records.pop(author, ()))

    def turn(self, epoch: int) -> None:
        """It is this epoch now. Records that have waited for too long are dropped."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        for author in list(self._records):
            waiting = self._records[author]
            for prev in [prev for prev, (_, since) in waiting.items() if since < epoch - WAITING_EPOCHS]:
                del waiting[prev]
                self._count -= 1
            if not waiting:
                del self._records[author]
