"""Comparing this peer's clock with the records of other members.

A record carries, under its signature, the epoch in which its author says that it signed it. If the newest records of
others are all of another epoch than ours on arrival, one of the clocks is wrong. The only consequence is a warning,
because only people can say which clock is right.
"""

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.replica.fold import Fold

#: Records may be this far apart in a healthy network: an epoch ends while they travel, or a machine is busy.
APART_EPOCHS_MAX = 1
APART_MS_MAX = 30_000


class Clocks:
    """The epochs of the newest records of members with weight, compared with our clock on arrival."""

    def __init__(self, key: bytes, fold: Fold) -> None:
        self._apart_max = max(APART_EPOCHS_MAX, APART_MS_MAX // fold.network.params.epoch_ms)
        self._key = key
        self._fold = fold
        self._epoch = -1
        self._now: dict[bytes, int] = {}  # author -> by how many epochs its newest record is ahead of this epoch
        self._before: dict[bytes, int] = {}  # the same for the previous epoch

    def note(self, record: Record, epoch: int) -> None:
        """A new record of another peer arrived in our epoch `epoch`."""
        member = self._fold.latest.members.get(record.author)
        if member is None or not member.weight or record.author == self._key:
            return
        self.turn(epoch)
        ahead = record.epoch - epoch
        self._now[record.author] = max(ahead, self._now.get(record.author, ahead))

    def note_ahead(self, data: bytes, epoch: int) -> int | None:
        """A record was refused because it is dated ahead of our clock. Returns its epoch if it is our own record."""
        try:
            record = decode_record(data)
        except DecodeError:
            return None
        if record.author != self._key and record.author not in self._fold.latest.members:
            return None
        if record.header.network != self._fold.network_id or not record.is_signed():
            return None
        self.note(record, epoch)
        return record.epoch if record.author == self._key else None

    def turn(self, epoch: int) -> None:
        """Our epoch is now `epoch`. Only the previous epoch is remembered."""
        if epoch != self._epoch:
            self._before = self._now if epoch == self._epoch + 1 else {}
            self._epoch, self._now = epoch, {}

    @property
    def ahead(self) -> int:
        """By how many epochs most others are ahead of our clock; negative if behind, 0 if equal or unknown.

        This is the median over the authors of records in the previous epoch. They must have more than a third of the
        others' weight, so that a few cannot raise an alarm.
        """
        members = self._fold.latest.members
        others = sum(member.weight for key, member in members.items() if key != self._key)
        said = sorted(ahead for key, ahead in self._before.items() if key in members and members[key].weight)
        if 3 * len(said) <= others or not said:
            return 0
        middle = said[len(said) // 2]
        return middle if abs(middle) > self._apart_max else 0
