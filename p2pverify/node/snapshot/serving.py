"""Serves the states at this node's newest cuts to newcomers, and keeps its checkpoints on disk."""

import logging

import trio

from p2pverify.core.machine import Machine
from p2pverify.core.snapshot.messages import StateRequest
from p2pverify.core.snapshot.serving import StateServer
from p2pverify.node.reports.documents.status import StateTrust
from p2pverify.node.snapshot.kept import SnapshotHome
from p2pverify.node.snapshot.ports import StateSource

log = logging.getLogger(__name__)


class ServedStates(StateSource):
    """The states that one node serves. `note` is called whenever a cut is final, and `run` writes what it found.

    The machine must have loaded what is stored. If it still begins with the state that others gave it, it is told so.
    """

    def __init__(self, machine: Machine, home: SnapshotHome) -> None:
        self.server = StateServer(machine.fold)
        self._home = home
        self._trust = home.trust()
        if self._trust is not None and bytes.fromhex(self._trust.base) in machine.fold.latest.path:
            machine.context.silence.doubt()
        self._writing = trio.CapacityLimiter(1)
        self._changed = trio.Event()
        home.load_checkpoints(self.server.checkpoints)

    def note(self) -> None:
        if self.server.note():
            self._changed.set()

    def checkpoint(self) -> str | None:
        """The cut to name to a newcomer."""
        shown = self.server.checkpoints.shown()
        return None if shown is None else shown[1].hex()

    def began_with(self) -> StateTrust | None:
        """The state with which this home began, and why it was believed."""
        kept = self._trust
        if kept is None:
            return None
        counts = {"peers": kept.peers, "asked": kept.asked, "groups": kept.groups}
        return StateTrust(by=kept.by, cut=kept.cut, epoch=kept.epoch, **counts)

    async def run(self) -> None:
        """Keep new checkpoints until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                await trio.to_thread.run_sync(self._home.keep_checkpoints, self.server.checkpoints)
            except OSError as error:
                log.warning("checkpoints cannot be written: %s", error)

    async def answer(self, request: StateRequest) -> bytes:
        """See the port. States are written out in a thread, one at a time."""
        while (cut := self.server.unwritten(request)) is not None:
            async with self._writing:
                if self.server.unwritten(request) == cut:
                    await trio.to_thread.run_sync(self.server.write_out, cut)
        return self.server.answer(request)
