"""Called records: strangers' records that this peer needs because a proposal by a member with weight names them.

Admission admits a called record even if the table of strangers is full. Sync asks for it even if it was refused before.
The number of called records is bounded: the record whose last call is oldest is forgotten first.
"""

from collections.abc import Callable

from p2pverify.core.limits import BoundedDict
from p2pverify.core.records.envelope import NO_PREV
from p2pverify.core.replica.ledger import Ledger

CALLED_MAX = 4096


class CalledRecords:
    """The ids of called records, and the authors whose named record is not yet here with its whole prefix."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ids: BoundedDict[bytes, None] = BoundedDict(CALLED_MAX)
        self._lacking: BoundedDict[bytes, bytes] = BoundedDict(CALLED_MAX)  # author -> its record in a proposal

    def __bool__(self) -> bool:
        return bool(self._ids)

    def __contains__(self, record_id: bytes) -> bool:
        return record_id in self._ids

    def lacks(self, author: bytes) -> bool:
        """Whether a proposal names a record of this author that is not yet here with its whole prefix."""
        return author in self._lacking

    def call_head(self, author: bytes, record_id: bytes) -> None:
        """Call an author's record that a proposal names."""
        self.call(record_id)
        if record_id not in self._ledger:
            self._lacking[author] = record_id

    def call(self, record_id: bytes) -> None:
        """Call a record: a proposal names it, or it is the predecessor of a called record."""
        if record_id != NO_PREV:
            self._ids[record_id] = None

    def forget(self, is_known: Callable[[bytes], bool]) -> None:
        """Forget authors that have become members, because their records need no call."""
        for author in [author for author in self._lacking if is_known(author)]:
            del self._lacking[author]

    def note(self, author: bytes) -> None:
        """A record of this author was judged."""
        if self._lacking.get(author, b"") in self._ledger:
            del self._lacking[author]
