"""The parts that honest peers play in a network that lasts (see `processes/lasting`)."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Honest peers without a part, at least. Others can always reach these.
STEADY_MIN = 2
_PARTS = 5


@dataclass(frozen=True, slots=True)
class LastingRoles:
    """Peers by name. All are honest."""

    hidden: str  # listens nowhere, and is asked through relays
    relay: str  # relays for it, and ends for good
    rotating: str  # moves to another key
    newcomer: str  # joins late, by a state
    killed: str  # likewise, and is killed while it fetches the state

    def __contains__(self, name: str) -> bool:
        return name in (self.hidden, self.relay, self.rotating, *self.late)

    @property
    def late(self) -> tuple[str, str]:
        """Those that join late."""
        return self.newcomer, self.killed


def cast(honest: Sequence[str]) -> LastingRoles | None:
    """Who plays which part, of the honest peers by name; None if there are too few. The first one plays none."""
    if len(honest) < STEADY_MIN + _PARTS:
        return None
    return LastingRoles(*honest[1:4], *honest[-2:])
