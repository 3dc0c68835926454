"""Fetches the states of a trusted cut from several peers at once, and believes none of them."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from p2pverify.core.blobs.plan import ChunkPlan, SourceFault
from p2pverify.core.counters import Counters
from p2pverify.core.replica.base import Base
from p2pverify.core.snapshot.assembly import Assembly, StatePiece
from p2pverify.core.snapshot.messages import LEAVES, StateRequest
from p2pverify.node.blobs.download import Download, told
from p2pverify.node.ports import AskError
from p2pverify.node.snapshot.kept import SnapshotHome
from p2pverify.node.snapshot.ports import StatePort
from p2pverify.node.user_error import UserError

#: For one answer, dialling included.
ANSWER_SECONDS_MAX = 30.0
_AGAIN = "start again later: the parts that were fetched are kept; or name more peers with --bootstrap"

_FAULTS = {
    SourceFault.FALSE: "states_false",
    SourceFault.MISSING: "states_missing",
    SourceFault.BUSY: "states_busy",
    SourceFault.FAILED: "states_failed",
}

log = logging.getLogger(__name__)

#: Told after each part: the epoch of the state (None: not known yet), bytes that are here, and about how many in all.
ReportParts = Callable[[int | None, int, int], None]


class StateError(UserError):
    """No state could be fetched. `reason` says why, and `hint` what to do."""


class StateFetcher:
    """Fetches states over `port`. Its counters begin with `states_`, and `dropped` are the peers that lied."""

    def __init__(self, network_id: bytes, port: StatePort, home: SnapshotHome, counters: Counters) -> None:
        self._network_id = network_id
        self._port = port
        self._home = home
        self.counters = counters
        self._dropped: dict[bytes, SourceFault] = {}
        self._taking = threading.Lock()

    @property
    def dropped(self) -> Mapping[bytes, SourceFault]:
        return self._dropped

    def drop(self, peer: bytes) -> None:
        """Ask a peer for nothing more, because something that it sent is false."""
        self.counters.count("states_false")
        self._dropped[peer] = SourceFault.FALSE

    async def ask(self, peer: bytes, request: StateRequest) -> bytes:
        """The body of one peer's answer. Raises AskError."""
        try:
            with trio.fail_after(ANSWER_SECONDS_MAX):
                body = await self._port.fetch_state(peer, request)
        except trio.TooSlowError:
            raise AskError("timeout") from None
        self.counters.count("states_fetched_bytes", len(body))
        return body

    async def fetch(self, cut: bytes, peers: Sequence[bytes], progress: ReportParts) -> Base:
        """The states at a trusted cut and at the cuts before it. Asks these peers (keys), four at a time.

        Cancelling keeps what was fetched. Raises StateError, and UserError if the disk takes nothing.
        """
        assembly = Assembly(self._network_id, cut, await trio.to_thread.run_sync(self._home.leaves))
        self.counters.count("states_leaves_kept", assembly.leaves)
        missing: dict[bytes, SourceFault] = {}  # they do not have this state, and may have another
        while pieces := assembly.stage():
            sources = [peer for peer in dict.fromkeys(peers) if peer not in {**self._dropped, **missing}]
            plan = ChunkPlan(range(len(pieces)), sources)
            took = partial(_tell, assembly, progress)
            took()
            ask, take = partial(self._piece, pieces), partial(self._take, assembly)
            await Download(plan, ask, take, self.counters, took, _FAULTS).run()
            self._dropped.update({peer: why for peer, why in plan.ended().items() if why is not SourceFault.MISSING})
            missing.update(plan.ended())
            if not plan.is_done:
                raise StateError(
                    f"{plan.left} of {len(pieces)} parts of the state are missing: {told(missing, 'the state')}",
                    _AGAIN,
                )
        return Base(assembly.cuts, assembly.states())

    async def _piece(self, pieces: Sequence[StatePiece], source: bytes, number: int) -> StatePiece:
        """A whole piece from one source. Raises AskError."""
        piece = StatePiece(pieces[number].request, pieces[number].count)
        while (request := piece.next_request) is not None:
            if not piece.take(await self.ask(source, request)):
                raise AskError("malformed")
        return piece

    def _take(self, assembly: Assembly, _number: int, piece: StatePiece) -> bool:
        """Take a piece in a thread, and write its leaves to disk. Raises UserError."""
        with self._taking:
            if not assembly.take(piece):
                return False
            if piece.request.what == LEAVES:
                try:
                    self._home.add_leaves(piece.got)
                except OSError as error:
                    raise StateError(f"a state cannot be written: {error}", "make room on the disk") from None
            return True


def _tell(assembly: Assembly, progress: ReportParts) -> None:
    progress(assembly.epoch, *assembly.progress())
