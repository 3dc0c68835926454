"""Records of strangers that this peer needs for a cut: a proposal by a member with weight names them.

Admission lets them in although the table of strangers is full, and sync asks for them although they were refused
before. Bounded: the records that were called for first are forgotten first.
"""

from collections import OrderedDict
from collections.abc import Callable

from p2pverify.core.records.envelope import NO_PREV
from p2pverify.core.replica.ledger import Ledger

CALLED_MAX = 4096


class CalledRecords:
    """The ids of such records, and the authors whose named record is not here with its whole prefix."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._lacking: OrderedDict[bytes, bytes] = OrderedDict()  # author -> its record that a proposal names

    def __bool__(self) -> bool:
        return bool(self._ids)

    def __contains__(self, record_id: bytes) -> bool:
        return record_id in self._ids

    def lacks(self, author: bytes) -> bool:
        """Whether records of this author are needed for what a proposal names."""
        return author in self._lacking

    def call_head(self, author: bytes, record_id: bytes) -> None:
        """A proposal names this record."""
        self.call(record_id)
        if record_id not in self._ledger:
            self._lacking[author] = record_id
            if len(self._lacking) > CALLED_MAX:
                self._lacking.popitem(last=False)

    def call(self, record_id: bytes) -> None:
        """Such a record stands on this one."""
        if record_id == NO_PREV:
            return
        self._ids[record_id] = None
        if len(self._ids) > CALLED_MAX:
            self._ids.popitem(last=False)

    def forget(self, is_known: Callable[[bytes], bool]) -> None:
        """Some authors have become members: their records need no call."""
        for author in [author for author in self._lacking if is_known(author)]:
            del self._lacking[author]

    def note(self, author: bytes) -> None:
        """A record of this author was judged."""
        if self._lacking.get(author, b"") in self._ledger:
            del self._lacking[author]
