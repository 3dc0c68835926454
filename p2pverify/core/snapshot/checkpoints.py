"""Checkpoints: certificates of older cuts that a peer keeps, so that a newcomer can go from one of them to a new cut.

All peers keep those of the same indices, so that the id of a cut that one peer shows is known to the others.
"""

from p2pverify.core.snapshot.messages import CHECKPOINTS_MAX

#: States are served, and certificates kept, of the cuts whose index is a multiple of this.
EVERY = 16
#: Of the cuts whose index is a multiple of so much, the newest KEPT_OF_EACH are kept: hours, days, half a year.
STEPS = (EVERY, 256, 4096)
KEPT_OF_EACH = CHECKPOINTS_MAX // len(STEPS)


class Checkpoints:
    """Certificates of cuts as bytes, by index: at most CHECKPOINTS_MAX."""

    def __init__(self) -> None:
        self._by_index: dict[int, tuple[bytes, bytes]] = {}

    def add(self, index: int, cut: bytes, certificate: bytes) -> None:
        """Keep a certificate, and forget those that are kept no longer. Other indices are passed over."""
        if index <= 0 or index % EVERY:
            return
        self._by_index[index] = (cut, certificate)
        kept = {each for step in STEPS for each in sorted(i for i in self._by_index if i % step == 0)[-KEPT_OF_EACH:]}
        self._by_index = {each: self._by_index[each] for each in sorted(kept)}

    def listed(self) -> tuple[tuple[int, bytes], ...]:
        """The index and the id of each cut, by index."""
        return tuple((index, cut) for index, (cut, _) in self._by_index.items())

    def get(self, cut: bytes) -> bytes | None:
        """The certificate of a cut."""
        return next((found for each, found in self._by_index.values() if each == cut), None)

    def shown(self) -> tuple[int, bytes] | None:
        """The checkpoint to name to others: the newest one that is kept for days, or else the newest."""
        listed = self.listed()
        lasting = [each for each in listed if each[0] % STEPS[1] == 0]
        return lasting[-1] if lasting else listed[-1] if listed else None
