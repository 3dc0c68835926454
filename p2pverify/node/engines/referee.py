"""The referee of a node: the engine that judges across classes, opened with its first job."""

import logging
from collections.abc import Callable

from p2pverify.node.engines.refusals import RefereeUnavailable
from p2pverify.node.ports import Engine

NO_REFEREE = "this node has no referee: it cannot judge across classes"
log = logging.getLogger(__name__)


class Referee:
    """Opens the referee once. `opener` blocks. It serves one thread at a time."""

    def __init__(self, opener: Callable[[], Engine] | None) -> None:
        self._opener = opener
        self._engine: Engine | None = None
        self._why_not = NO_REFEREE

    def get(self) -> Engine:
        """The referee. Blocks if it has to be opened. A failure is logged once, and opening is not tried again.

        Raises RefereeUnavailable.
        """
        if self._engine is None and self._opener is not None:
            opener, self._opener = self._opener, None
            try:
                self._engine = opener()
            except Exception as error:
                self._why_not = f"{NO_REFEREE}: {error}"
                said = "%s; start the node again once this is mended"
                log.warning(said, self._why_not, exc_info=log.isEnabledFor(logging.DEBUG))
        if self._engine is None:
            raise RefereeUnavailable(self._why_not)
        return self._engine
