"""What other members' records say of this peer's clock.

A record carries the epoch in which its author says that it signed it, under its signature. If the newest records of
others, as they come, are all of another epoch than ours, then one of the two clocks is wrong. Nothing follows from it
but a warning: which clock is right is for people to say.
"""

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.replica.fold import Fold

#: Members' records are that far apart in a healthy network: an epoch ends while they travel, or a machine is busy.
APART_EPOCHS_MAX = 1
APART_MS_MAX = 30_000


class Clocks:
    """The newest records of members with weight, by what our clock said when they came."""

    def __init__(self, key: bytes, fold: Fold) -> None:
        self._apart_max = max(APART_EPOCHS_MAX, APART_MS_MAX // fold.network.params.epoch_ms)
        self._key = key
        self._fold = fold
        self._epoch = -1
        self._now: dict[bytes, int] = {}  # author -> epochs that its newest record of this epoch is ahead of us
        self._before: dict[bytes, int] = {}  # the same of the epoch before, which is over

    def note(self, record: Record, epoch: int) -> None:
        """A record of another peer came in this epoch of ours, and was new here."""
        member = self._fold.latest.members.get(record.author)
        if member is None or not member.weight or record.author == self._key:
            return
        self.turn(epoch)
        ahead = record.epoch - epoch
        self._now[record.author] = max(ahead, self._now.get(record.author, ahead))

    def note_ahead(self, data: bytes, epoch: int) -> int | None:
        """A record was refused as dated ahead of our clock. Returns its epoch if it is one of our own."""
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
        """It is this epoch now: of earlier ones only the one before counts."""
        if epoch != self._epoch:
            self._before = self._now if epoch == self._epoch + 1 else {}
            self._epoch, self._now = epoch, {}

    @property
    def ahead(self) -> int:
        """By how many epochs most others are ahead of our clock; negative if behind, 0 if together or unknown.

        What counts is the epoch that is over, and the median of those that said something in it. They have to be more
        than a third of the others' weight, so that no few can raise an alarm.
        """
        members = self._fold.latest.members
        others = sum(member.weight for key, member in members.items() if key != self._key)
        said = sorted(ahead for key, ahead in self._before.items() if key in members and members[key].weight)
        if 3 * len(said) <= others or not said:
            return 0
        middle = said[len(said) // 2]
        return middle if abs(middle) > self._apart_max else 0
