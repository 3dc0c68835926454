"""Watches whether cuts become final and the engine keeps up, and logs when a problem begins and ends."""

import logging

import trio

from p2pverify.node.reports.readiness import Node, has_no_final_cut

LOOKS_PER_EPOCH = 4
LOOK_S_MAX = 30.0
log = logging.getLogger(__name__)


class CutWatch:
    """The watch of one node. A node that starts with an old ledger first gets time to catch up."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._since_ms = node.driver.now_ms()
        self._stopped: int | None = None  # the epoch of the newest final cut when cuts stopped
        node.driver.on_final(self.look)

    async def run(self) -> None:
        """Look several times in an epoch, until cancelled."""
        epoch_s = self._node.machine.network.params.epoch_ms / 1000
        while True:
            self.look()
            await trio.sleep(min(LOOK_S_MAX, epoch_s / LOOKS_PER_EPOCH))

    def look(self) -> None:
        """Compare with the last look, and log what has begun or ended since then."""
        node = self._node
        if node.epoch < 0:
            self._since_ms = node.driver.now_ms()
            return
        node.pace.look(node.epoch, node.driver.engine_statistics())
        if has_no_final_cut(node) is None:
            if self._stopped is not None:
                epoch = node.latest.epoch
                log.info("cuts are final again: that of epoch %d, after that of epoch %d", epoch, self._stopped)
                self._stopped = None
        elif self._stopped is None and has_no_final_cut(node, since_ms=self._since_ms) is not None:
            self._stopped = node.latest.epoch
            log.warning("%s", self._why_stopped())

    def _why_stopped(self) -> str:
        node, latest = self._node, self._node.latest
        here = {node.machine.key, *(neighbour.peer for neighbour in node.network.neighbours())}
        newest = (
            f"the newest is of epoch {latest.epoch}"
            if latest is not node.machine.fold.genesis
            else "no cut was ever final"
        )
        return (
            f"no cut has become final for {node.cut_age_ms // 1000} s ({newest}): a cut needs the signatures of two "
            f"thirds of the weight, {-(-2 * latest.total_weight // 3)} of {latest.total_weight}, and this node is "
            f"connected to {latest.weight_of(here)}, itself included; check that the other "
            "members run and can be reached"
        )
