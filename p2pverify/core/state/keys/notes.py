"""What a state notes of handovers. These are values only: `take` and `move` compute the next ones."""

from dataclasses import dataclass

from p2pverify.core.records.payloads.keys.handover import Keys


@dataclass(frozen=True, slots=True)
class OpenHandover:
    """A handover that waits for its time. Of the old log, records above the number `seq` count for nothing.

    `since_epoch` and `since_index` are those of the cut that holds it; if a signature of the old key came later, of the
    cut that holds that. `was_active` says whether the row was active before.
    """

    successor: bytes
    seq: int
    is_signed: bool
    keys: Keys
    since_epoch: int
    since_index: int
    was_active: bool


@dataclass(frozen=True, slots=True)
class MovedKey:
    """The tombstone of a key whose row belongs to its `successor` now, since the cut of this epoch and index.

    `forks` are the numbers at which the old log is known to fork. `weighted_index` is the index at which the row last
    lost weight under the old key, or -1: signatures of cuts before it still count.
    """

    successor: bytes
    epoch: int
    index: int
    weighted_index: int
    forks: frozenset[int] = frozenset()
