"""Whether this peer may sign: after a start not before others have shown it where its own log ends.

A home may be an older copy of itself. What its key signed since then is known to others alone, and a key that signs a
second payload for one slot convicts itself. So a started peer is silent until one of these has happened:

- A certified cut of an epoch after the start is held. Two thirds of the weight have signed it, and it holds our log.
- Syncs with neighbours of more than a third of the weight have completed since the start, or with all others of two
  founders. That is more than may lie: from three members with weight on it takes two.
- The operator has said that nobody can show more (`alone`).

A peer that starts before genesis with an empty log has signed nothing, and is silent until genesis. If others show a
record of our own that the home did not hold, another process may run with this key, and a whole epoch is listened to.
Afterwards nothing is signed of an epoch that began before the silence ended. That is one rule for slots, seals, votes,
proposals and signatures of cuts.
"""

from p2pverify.core.contract.network import Params
from p2pverify.core.replica.fold import Fold

#: The weight that is asked for at most, as a peer has at most 64 neighbours. Larger networks certify a cut before.
SHOWN_MAX = 48
#: A clock that moves by more between two events was set, or the machine slept; by an epoch if that is longer.
LEAP_MS = 60_000
NEVER = 2**63


class Silence:
    """The silence of one machine. A machine that was never told to `begin` may sign at once, of any epoch."""

    def __init__(self, params: Params, key: bytes, fold: Fold) -> None:
        self._params = params
        self._key = key
        self._fold = fold
        self.is_on = False
        #: Why nothing is signed any more in this run, or "": this key signs elsewhere too.
        self.stopped = ""
        self.first_epoch = 0  # the first of which something may be signed
        self.since_epoch = NEVER  # a cut of a later one ends the silence
        self._shown: set[bytes] = set()
        self._is_alone = False
        self._is_unused = False  # the key has signed nothing, since genesis is still to come
        self.listens_through = -1  # an epoch in which the key must be heard to be silent
        self.hidden_epoch = -1  # of the newest record of our own that was refused as dated ahead of our clock
        self._last_ms = 0

    def begin(self, now_ms: int, *, alone: bool = False) -> None:
        """Be silent from now on."""
        epoch = self._params.epoch_at(now_ms)
        self.is_on = True
        self.first_epoch = NEVER
        # A clock that was ahead has left cuts that lie ahead: only a later one is news.
        self.since_epoch = max(epoch, self._fold.latest.epoch)
        self._shown.clear()
        self._is_alone = alone
        self._is_unused = epoch < 0 and self._fold.ledger.head(self._key) is None
        self.listens_through = -1
        self._last_ms = now_ms

    def synced(self, peer: bytes) -> None:
        """A sync session with a neighbour has completed: all that it held is here, our own log above all."""
        if self.is_on and peer != self._key:
            self._shown.add(peer)

    def hides_own(self, epoch: int) -> None:
        """A record of our own was refused, as it is dated ahead of our clock: what was shown is not all."""
        if self.is_on and not self._is_alone:
            self._shown.clear()
            self._is_unused = False
            self.since_epoch = max(self.since_epoch, epoch)
            self.hidden_epoch = max(self.hidden_epoch, epoch)

    def learned_own(self, now_ms: int) -> None:
        """A record of our own came that this home did not hold: whoever wrote it may still run.

        One that runs signs something in every epoch, so a whole one is listened to.
        """
        self.listens_through = self._params.epoch_at(now_ms) + 1
        self._is_unused = False

    def look(self, now_ms: int) -> None:
        """End the silence if it is time."""
        if abs(now_ms - self._last_ms) > max(LEAP_MS, self._params.epoch_ms) and not self._is_alone:
            self.begin(now_ms)  # what was shown under another clock may be less than all
        self._last_ms = now_ms
        epoch = self._params.epoch_at(now_ms)
        if self._is_alone:
            self.is_on = False
        elif epoch <= self.listens_through:
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
        """Sign nothing any more in this run."""
        self.stopped = self.stopped or why

    def lacking(self) -> list[bytes]:
        """The members with weight that have not shown our log and could, by key; none if nothing depends on it."""
        if not self.is_on or self._is_alone or self._is_unused:
            return []
        members = self._fold.latest.members
        return [key for key in sorted(members) if members[key].weight and key not in self._shown and key != self._key]

    def progress(self) -> tuple[int, int, int]:
        """The weight of neighbours that have shown our log, how much of it is needed, and the weight of all others."""
        latest = self._fold.latest
        others = latest.total_weight - latest.weight_of((self._key,))
        needed = min(latest.total_weight // 3 + 1, max(1, others), SHOWN_MAX)
        return latest.weight_of(self._shown), needed, others
