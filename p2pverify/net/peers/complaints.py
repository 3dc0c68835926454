"""Log lines about bootstrap addresses that cannot be reached: the first soon, the next ones less and less often."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from p2pverify.node.endpoints.address import Address

PATIENCE_S = 3.0  # time for peers that are started together to come up
AGAIN_S_MIN = 60.0  # doubles from one line to the next
AGAIN_S_MAX = 3600.0
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trouble:
    """A failing address: since when, whether it was logged, and when to log it next."""

    since_s: float
    due_s: float
    again_s: float = AGAIN_S_MIN
    is_said: bool = False


class Complaints:
    """Log lines about the bootstrap addresses of the operator; other addresses are not logged."""

    def __init__(self, bootstrap: Iterable[Address]) -> None:
        self._bootstrap = frozenset(bootstrap)
        self._troubles: dict[Address, _Trouble] = {}

    def failed(self, address: Address, reason: str, now_s: float) -> None:
        """A dial failed."""
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
