"""What the log says of bootstrap addresses that do not lead to their peers: soon once, then more and more rarely."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from p2pverify.node.endpoints.address import Address

PATIENCE_S = 3.0  # peers that are started together come up within it
AGAIN_S_MIN = 60.0  # doubling from one line to the next
AGAIN_S_MAX = 3600.0
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trouble:
    """An address that fails: since when, whether it was said, and when to say it next."""

    since_s: float
    due_s: float
    again_s: float = AGAIN_S_MIN
    is_said: bool = False


class Complaints:
    """One line at a time for each of the addresses that the operator gave; of others nothing is said."""

    def __init__(self, bootstrap: Iterable[Address]) -> None:
        self._bootstrap = frozenset(bootstrap)
        self._troubles: dict[Address, _Trouble] = {}

    def failed(self, address: Address, reason: str, now_s: float) -> None:
        """A dial came to nothing."""
        if address not in self._bootstrap:
            return
        trouble = self._troubles.setdefault(address, _Trouble(now_s, now_s + PATIENCE_S))
        if now_s < trouble.due_s:
            return
        log.warning(
            "bootstrap %s cannot be reached for %d s: %s; see that its node runs, and that the address is right",
            address,
            now_s - trouble.since_s,
            reason,
        )
        trouble.is_said = True
        trouble.due_s = now_s + trouble.again_s
        trouble.again_s = min(AGAIN_S_MAX, 2 * trouble.again_s)

    def reached(self, address: Address) -> None:
        """A dial succeeded."""
        trouble = self._troubles.pop(address, None)
        if trouble is not None and trouble.is_said:
            log.info("bootstrap %s answers now", address)
