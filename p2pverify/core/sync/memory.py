"""A neighbour's state between sync sessions, so that a session does not repeat requests without result.

It is bounded. If it is lost, some requests are repeated. Times are counted in sessions, not by a clock.
"""

REFUSED_MAX = 4_096  # ids, in each of two generations
GENERATION_SESSIONS = 4
BACKOFF_MAX = 10


class SyncMemory:
    """The memory of one neighbour: ids that it did not deliver or that were refused here, and a cut unknown here."""

    def __init__(self) -> None:
        self.unknown_cut = bytes(32)
        self._sessions = 0
        self._alarms = 0
        self._quiet_until = 0
        self._refused: dict[int, bytes] = {}  # the first bytes of an id -> the author, empty if it is unknown
        self._refused_before: dict[int, bytes] = {}

    def begin(self) -> None:
        """A session begins. Ids that were refused some sessions ago may be requested again."""
        self._sessions += 1
        if self._sessions % GENERATION_SESSIONS == 0:
            self._turn()

    def refuse(self, record_id: bytes, author: bytes = b"") -> None:
        """Do not ask for a record for some time."""
        if len(self._refused) >= REFUSED_MAX:
            self._turn()
        self._refused[_short(record_id)] = author

    def author_of_refused(self, record_id: bytes) -> bytes | None:
        """The author of a record that was refused some time ago, empty if it is unknown; None if it was not refused."""
        short = _short(record_id)
        author = self._refused.get(short)
        return self._refused_before.get(short) if author is None else author

    def _turn(self) -> None:
        self._refused_before, self._refused = self._refused, {}

    @property
    def may_list(self) -> bool:
        """Whether a cut that stays unknown is worth a comparison of all epochs."""
        return self._sessions >= self._quiet_until

    def listed(self, *, useful: bool) -> None:
        """All epochs were compared. After each useless comparison the back-off doubles, in sessions."""
        self._alarms = 0 if useful else min(self._alarms + 1, BACKOFF_MAX)
        self._quiet_until = self._sessions + 2**self._alarms


def _short(record_id: bytes) -> int:
    return int.from_bytes(record_id[:8], "big")
