"""Catching up in the simulated world: a peer fetches records that gossip lost from one neighbour after the other.

The sessions and their bytes are those of `core.sync.session`. A peer has one session at a time, as long as its
neighbour answers in time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import Event, RecordsArrived, Synced
from p2pverify.core.sync.server import Sync
from p2pverify.core.sync.session import SyncSession
from p2pverify.testnet.world import items
from p2pverify.testnet.world.links import End, Links
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.simulation import Simulation

#: A session without an answer for this many rounds is ended.
PATIENCE_ROUNDS = 3
#: The most members with weight that a silent peer dials in one round.
SEEK_AT_ONCE = 4


class SyncingPeer(End, Protocol):
    """A peer with records that takes events. `sync_turn` counts its rounds."""

    actor: Actor
    sync: Sync
    sync_turn: int

    def feed(self, event: Event) -> object:
        """Pass an event to the peer."""
        ...


@dataclass(slots=True)
class _Round:
    """A session in progress. `heard` is the peer's round in which the last answer came."""

    key: bytes
    session: SyncSession
    heard: int


class Catchup:
    """The sessions of all peers. `dial` connects a peer with the peer that has a key."""

    def __init__(self, simulation: Simulation, links: Links, dial: Callable[[End, bytes], None]) -> None:
        self._simulation = simulation
        self._links = links
        self._dial = dial
        self._rounds: dict[int, _Round] = {}
        self.sessions = self.frames = self.bytes = self.refused = 0

    def start(self, peer: SyncingPeer) -> None:
        """Begin the rounds of a started peer."""
        self._rounds.pop(peer.number, None)
        late_ms = self._simulation.chance.below(self._simulation.plan.sync_ms)
        self._simulation.post(self._simulation.now_ms + late_ms, peer.number, (items.SYNC, peer.life))

    def begin(self, peer: SyncingPeer) -> None:
        """Begin one more round with the next neighbour in turn, unless the last session still runs."""
        world = self._simulation
        world.post(world.now_ms + world.plan.sync_ms, peer.number, (items.SYNC, peer.life))
        peer.sync_turn += 1
        going = self._rounds.get(peer.number)
        if going is not None:
            if peer.sync_turn - going.heard < PATIENCE_ROUNDS:
                return
            self._end(peer)
        lacking = [key for key in peer.actor.machine.context.silence.lacking() if key not in peer.links]
        for key in lacking[:SEEK_AT_ONCE]:
            self._dial(peer, key)
        if peer.links:
            keys = sorted(peer.links)
            self._open(peer, keys[peer.sync_turn % len(keys)])

    def up(self, peer: SyncingPeer, key: bytes) -> None:
        """Start a session with a new neighbour at once, as nodes do, unless a session with another one runs."""
        if peer.number not in self._rounds:
            self._open(peer, key)

    def _hurry(self, peer: SyncingPeer) -> None:
        """If the peer is silent, start the next session at once, with a neighbour that it has not synced with yet."""
        near = [key for key in peer.actor.machine.context.silence.lacking() if key in peer.links]
        if near:
            self._open(peer, near[0])

    def _open(self, peer: SyncingPeer, key: bytes) -> None:
        session = peer.sync.session(key)
        self._rounds[peer.number] = _Round(key, session, peer.sync_turn)
        self.sessions += 1
        self._send(peer, key, request=session.start())

    def take(self, peer: SyncingPeer, source: End, frame: tuple[bool, bytes]) -> None:
        """Take a frame that arrived: a request, or the answer to the last request."""
        is_request, data = frame
        if is_request:
            if peer.actor.serves_sync(source.key, self._simulation.clock_ms):
                try:
                    self._send(peer, source.key, answer=peer.sync.answer(data))
                except RemoteProtocolError:
                    self.refused += 1
            return
        going = self._rounds.get(peer.number)
        if going is None or going.key != source.key:
            return
        going.heard = peer.sync_turn
        try:
            step = going.session.receive(data)
        except RemoteProtocolError:
            self.refused += 1
            self._end(peer)
            return
        if step.request is not None:
            self._send(peer, source.key, request=step.request)
        if step.records:
            peer.feed(RecordsArrived(step.records, source.key))
        if step.request is None:
            going.session.end()
            self._end(peer)
            if going.session.is_complete:
                peer.feed(Synced(source.key))
                self._hurry(peer)

    def ended(self, peer: SyncingPeer, key: bytes) -> None:
        """Handle the end of the link to a neighbour."""
        going = self._rounds.get(peer.number)
        if going is not None and going.key == key:
            self._end(peer)
        peer.sync.forget(key)

    def _end(self, peer: SyncingPeer) -> None:
        self._rounds.pop(peer.number).session.release()

    def _send(
        self, peer: SyncingPeer, key: bytes, *, request: bytes | None = None, answer: bytes | None = None
    ) -> None:
        link = peer.links.get(key)
        data = request if request is not None else answer
        if link is None or data is None:
            return
        self.frames += 1
        self.bytes += len(data)
        self._links.send_frame(link, peer.number, (request is not None, data))
