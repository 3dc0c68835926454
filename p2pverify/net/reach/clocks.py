"""How far the clocks of other peers are ahead of ours, by the time that they told with their answers to dial-backs.

It is shown to the operator, and nothing else: no clock is set by it, and no record is judged by it. One peer of each
address group counts, and their median, so that less than half of the groups cannot move it beyond the others.
"""

from statistics import median_low

import trio

from p2pverify.core.limits import BoundedDict

GROUPS_KEPT = 16
FRESH_SECONDS = 1800.0


class PeerClocks:
    """The newest time of each address group."""

    def __init__(self) -> None:
        self._ahead: BoundedDict[str, tuple[float, int]] = BoundedDict(GROUPS_KEPT)

    def note(self, group: str, ahead_ms: int) -> None:
        """A peer of this group is so far ahead of us."""
        self._ahead.pop(group, None)
        self._ahead[group] = (trio.current_time(), ahead_ms)

    def report(self) -> tuple[int, int | None]:
        """The number of groups that have told lately, and their median in ms; None if there is none."""
        since_s = trio.current_time() - FRESH_SECONDS
        fresh = [ahead_ms for told_s, ahead_ms in self._ahead.values() if told_s >= since_s]
        return len(fresh), median_low(fresh) if fresh else None
