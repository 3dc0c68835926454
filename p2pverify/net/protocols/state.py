"""States, /p2pverify/state/1: what a newcomer asks for, one request per stream.

Protocol page: protocol/state-sync.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.counters import Counters
from p2pverify.core.limits import Rate
from p2pverify.core.snapshot.messages import (
    STATE_REQUEST_BYTES_MAX,
    StateRequest,
    decode_state_answer,
    decode_state_request,
)
from p2pverify.net.border.link import Link
from p2pverify.net.protocols.pieces import PieceLimits, Pieces
from p2pverify.node.snapshot.ports import StateSource

PROTOCOL = "/p2pverify/state/1"
_MIB = 1024 * 1024
#: 64 MiB an hour for each neighbour whatever the others take, and 3.6 GB an hour that all share beyond that.
STATE_RATE = Rate(per_second=64 * _MIB // 3600, burst=4 * _MIB)
STATE_POOL = Rate(per_second=_MIB, burst=128 * _MIB)
STATE_ASKERS_MAX = 256


@dataclass(frozen=True, slots=True)
class StateLimits(PieceLimits):
    """The limits of serving states."""

    own: Rate = STATE_RATE
    pool: Rate = STATE_POOL
    per_peer_max: int = 2
    open_max: int = 16
    working_per_peer_max: int = 2
    working_max: int = 4
    waiting_max: int = 12
    askers_max: int = STATE_ASKERS_MAX


class StateProtocol(Pieces[StateRequest]):
    """Serves states from `source`, and asks other peers. Without a source it only asks."""

    protocol, request_bytes_max = PROTOCOL, STATE_REQUEST_BYTES_MAX
    words, refused, paced = "states", "states_refused_", "states_paced"

    def __init__(
        self,
        source: StateSource | None,
        is_member: Callable[[bytes], bool],
        limits: StateLimits,
        counters: Counters,
    ) -> None:
        super().__init__(is_member, limits, counters)
        self._source = source

    def _decode(self, data: bytes) -> StateRequest:
        return decode_state_request(data)

    async def _read(self, wanted: StateRequest, *, is_member: bool) -> bytes:
        del is_member  # states are for everybody
        assert self._source is not None
        return await self._source.answer(wanted)

    async def fetch(self, link: Link, wanted: StateRequest) -> bytes:
        """The body of one peer's answer. The caller sets the deadline, and checks the bytes. Raises AskError."""
        return await self.exchange(link, wanted.encode(), wanted.answer_bytes_max, decode_state_answer)
