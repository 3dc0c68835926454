"""Silence after a start: this peer signs nothing until others have shown it where its own log ends.

A home directory may be an old copy. Only other peers then know the later records of its key, and a key that signs a
second payload for one slot convicts itself. So a started peer is silent until one of these has happened:

- It holds a certified cut of an epoch after the start. Two thirds of the weight have signed it, and it holds our log.
- Syncs with neighbours of more than a third of the weight have completed since the start; with two founders, the sync
  with the other one. More than a third is more than may lie: with three or more weighted members it takes two of them.
- The operator has said that nobody can show more (`alone`).

A peer that began with a state from others also waits until it holds a certified cut of the newest RECENT_EPOCHS epochs,
because that state may be an old one. And it waits until it holds the records of the cuts with which it began: without
them it could sign what others refuse.

A peer that starts before genesis with an empty log has signed nothing, and is silent until genesis. If others show an
own record that the home did not hold, another process may run with this key; then the peer listens for a whole epoch.
Afterwards it signs nothing for an epoch that began before the silence ended. This one rule holds for slots, seals,
votes, proposals and signatures of cuts.
"""

from p2pverify.core.contract.network import Params
from p2pverify.core.replica.fold import Fold

#: The most weight that is required, because a peer has at most 64 neighbours. Larger networks certify a cut earlier.
SHOWN_MAX = 48
#: If the clock moves by more between two events (or by more than an epoch, if longer), it was set or the machine slept.
LEAP_MS = 60_000
NEVER = 2**63
#: The beginning of the reason if certified cuts contradict each other.
CONTRADICTION = "certified cuts contradict each other"
#: The most epochs between the clock and the newest cut of a peer that began with a state from others.
RECENT_EPOCHS = 8


class Silence:
    """The silence of one machine. Without a call of `begin` it may sign at once, for any epoch."""

    def __init__(self, params: Params, key: bytes, fold: Fold) -> None:
        self._params = params
        self._key = key
        self._fold = fold
        self.is_on = False
        #: Why this run signs nothing more (the key signs elsewhere too), or "".
        self.stopped = ""
        self.first_epoch = 0  # the first epoch for which this peer may sign
        self.since_epoch = NEVER  # a cut of a later epoch ends the silence
        self._shown: set[bytes] = set()
        self._is_alone = False
        self._is_unused = False  # the key has signed nothing, because genesis is still to come
        self.listens_through = -1  # listen for other uses of the key until this epoch is over
        self.hidden_epoch = -1  # epoch of the newest own record that was refused as ahead of our clock
        self._last_ms = 0
        self._began_with_state = False
        self._has_seen_recent = True

    def doubt(self) -> None:
        """The state with which this peer began is from others, and may be old."""
        self._began_with_state = True
        self._has_seen_recent = False

    @property
    def awaits(self) -> str:
        """What a peer that began with a state lacks before it signs, for people; "" if it lacks nothing."""
        latest = self._fold.latest
        if self._is_alone or not self._began_with_state:
            return ""
        if not self._has_seen_recent:
            return f"a final cut of the last {RECENT_EPOCHS} epochs; the state with which it began may be an old one"
        if self._fold.ledger.lacks(latest.heads.values()) is not None:
            return "the records of the cuts with which it began"
        return ""

    def begin(self, now_ms: int, *, alone: bool = False) -> None:
        """Be silent from now on."""
        epoch = self._params.epoch_at(now_ms)
        self.is_on = True
        self.first_epoch = NEVER
        # A clock that was ahead may have left cuts of later epochs. Only a cut after those is new.
        self.since_epoch = max(epoch, self._fold.latest.epoch)
        self._shown.clear()
        self._is_alone = alone
        self._is_unused = epoch < 0 and self._fold.ledger.head(self._key) is None
        self.listens_through = -1
        self._last_ms = now_ms

    def synced(self, peer: bytes) -> None:
        """A sync session with a neighbour has completed: all its records are here, above all our own log."""
        if self.is_on and peer != self._key:
            self._shown.add(peer)

    def hides_own(self, epoch: int) -> None:
        """An own record was refused because it is dated ahead of our clock, so our log here is not complete."""
        if self.is_on and not self._is_alone:
            self._shown.clear()
            self._is_unused = False
            self.since_epoch = max(self.since_epoch, epoch)
            self.hidden_epoch = max(self.hidden_epoch, epoch)

    def learned_own(self, now_ms: int) -> None:
        """An own record arrived that this home did not hold. The process that wrote it may still run.

        A running process signs something in every epoch, so this peer listens for a whole epoch.
        """
        self.listens_through = self._params.epoch_at(now_ms) + 1
        self._is_unused = False

    def look(self, now_ms: int) -> None:
        """End the silence if it is time."""
        if abs(now_ms - self._last_ms) > max(LEAP_MS, self._params.epoch_ms) and not self._is_alone:
            self.begin(now_ms)  # peers may have shown less than all under another clock
        self._last_ms = now_ms
        epoch = self._params.epoch_at(now_ms)
        if self._fold.latest.epoch >= epoch - RECENT_EPOCHS:
            self._has_seen_recent = True
        if self._is_alone:
            self.is_on = False
        elif self.awaits or epoch <= self.listens_through:
            self.is_on = True
        elif self._fold.latest.epoch > self.since_epoch:
            self.is_on = False
        elif self._is_unused:
            self.is_on = epoch < 0
        else:
            shown, needed, _ = self.progress()
            self.is_on = shown < needed or self._fold.ledger.has_waiting(self._key)

    def wake(self, now_ms: int) -> None:
        """The peer begins to sign."""
        if self.first_epoch == NEVER:
            epoch = self._params.epoch_at(now_ms)
            self.first_epoch = epoch if self._is_unused else epoch + 1

    def stop(self, why: str) -> None:
        """Sign nothing more in this run."""
        self.stopped = self.stopped or why

    def contradict(self, one: bytes, other: bytes) -> str:
        """Sign nothing more, because two certified cuts contradict each other. Returns the reason."""
        self.stop(f"{CONTRADICTION}: {one.hex()} and {other.hex()}; at least a third of the weight signed both")
        return self.stopped

    def lacking(self) -> list[bytes]:
        """The members with weight that have not shown our log, by key; none if the silence does not wait for them."""
        if not self.is_on or self._is_alone or self._is_unused:
            return []
        members = self._fold.latest.members
        return [key for key in sorted(members) if members[key].weight and key not in self._shown and key != self._key]

    def progress(self) -> tuple[int, int, int]:
        """The weight of neighbours that have shown our log, the weight needed, and the weight of all others."""
        latest = self._fold.latest
        others = latest.total_weight - latest.weight_of((self._key,))
        needed = min(latest.total_weight // 3 + 1, max(1, others), SHOWN_MAX)
        return latest.weight_of(self._shown), needed, others
