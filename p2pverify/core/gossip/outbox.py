"""Unsent RPCs: the messages to each peer are gathered, so that one frame carries many.

Only forwarded messages wait here longer than the batch time: one frame announces them, and a later one sends them
(`forwards`). Queues for slow peers belong to the network adapter. Peers that get the same messages get the same `Rpc`
object, so that an adapter can encode it once.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field

from p2pverify.core.gossip.forwards import Forwards
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState
from p2pverify.core.gossip.types import ITEM_BYTES, GossipMessage, MessageKey, Rpc, SendRpc, message_bytes, topic_bytes

_ID_BYTES = 36  # upper bound of an id with its tag and length


@dataclass(slots=True)
class _Control:
    """The parts of an unsent RPC that are not messages. Dictionaries serve as ordered sets."""

    subscriptions: list[tuple[bool, str]] = field(default_factory=list)
    ihave: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    iwant: dict[bytes, None] = field(default_factory=dict)
    graft: dict[str, None] = field(default_factory=dict)
    prune: dict[str, int] = field(default_factory=dict)


class _Parts:
    """The unsent RPC to one peer; `size` is an upper bound of its messages, in bytes. `had` goes into IDONTWANT."""

    __slots__ = ("control", "had", "publish", "size")

    def __init__(self) -> None:
        self.publish: dict[MessageKey, GossipMessage] = {}
        self.size = 0
        self.had: list[bytes] = []
        self.control: _Control | None = None

    def pieces(self, ids_max: int) -> Iterator[tuple[Rpc, int]]:
        """One-item RPCs in wire order, each with an upper bound of its size in bytes."""
        control = self.control or _Control()
        for subscribe, topic in control.subscriptions:
            yield Rpc(subscriptions=((subscribe, topic),)), _text_bytes(topic)
        for message in self.publish.values():
            yield Rpc(publish=(message,)), _text_bytes(message.topic) + len(message.data)
        for topic, ids in control.ihave.items():
            yield Rpc(ihave=((topic, ids),)), _text_bytes(topic) + _ID_BYTES * len(ids)
        for ids in _slices(list(control.iwant), ids_max):
            yield Rpc(iwant=ids), ITEM_BYTES + _ID_BYTES * len(ids)
        for ids in _slices(self.had, ids_max):
            yield Rpc(idontwant=ids), ITEM_BYTES + _ID_BYTES * len(ids)
        for topic in control.graft:
            yield Rpc(graft=(topic,)), _text_bytes(topic)
        for topic, backoff_s in control.prune.items():
            yield Rpc(prune=((topic, backoff_s),)), _text_bytes(topic)


def _slices(ids: list[bytes], length: int) -> Iterator[tuple[bytes, ...]]:
    for start in range(0, len(ids), length):
        yield tuple(ids[start : start + length])


def _text_bytes(text: str) -> int:
    return ITEM_BYTES + topic_bytes(text)


class RpcOutbox:
    """Collects per peer, and returns RPCs within the limits of a frame. `due_ms`: when to flush, None if empty.

    `forwarded` is the number of copies that the last flush forwarded after their peers had time to decline them.
    """

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._parts: dict[bytes, _Parts] = {}
        self._ready: list[SendRpc] = []
        self._forwards = Forwards(params)
        self.forwarded = 0
        self.due_ms: int | None = None
        self._free_ms = 0  # when the pause after the last frames is over

    def subscription(self, peer: bytes, *, subscribe: bool, topic: str, now_ms: int) -> None:
        self._control(peer, now_ms).subscriptions.append((subscribe, topic))

    def spread(self, message: GossipMessage, peers: Iterable[bytes], sources: Container[bytes], now_ms: int) -> int:
        """Send a message to these peers except its sources; returns the number of receivers."""
        chosen = [peer for peer in peers if peer not in sources]
        if not chosen:
            return 0
        if self._params.batch_ms or self._parts:
            key, size = message.key, message_bytes(message)
            for peer in chosen:
                self._add(self._parts.get(peer) or self._open(peer, now_ms), key, message, size, now_ms)
        else:
            rpc = Rpc(publish=(message,))
            self._ready += [SendRpc(peer, rpc) for peer in chosen]
            self.due_ms = now_ms
        return len(chosen)

    def forward(self, message: GossipMessage, targets: list[PeerState], now_ms: int) -> int:
        """Tell these peers that we have the message, and send it with the next frame but one to those that want it.

        All of them hear IDONTWANT. Returns the number of peers that have it by their own words.
        """
        mid = message.key[1]
        for state in targets:
            (self._parts.get(state.peer) or self._open(state.peer, now_ms)).had.append(mid)
        wanting = {state.peer: None for state in targets if state.wants(mid)}
        if wanting and self._forwards.add(message, wanting):
            self.due_ms = now_ms
        return len(targets) - len(wanting)

    def message(self, peer: bytes, message: GossipMessage, now_ms: int) -> None:
        parts = self._parts.get(peer) or self._open(peer, now_ms)
        self._add(parts, message.key, message, message_bytes(message), now_ms)

    def _add(self, parts: _Parts, key: MessageKey, message: GossipMessage, size: int, now_ms: int) -> None:
        before = len(parts.publish)
        parts.publish[key] = message
        count = len(parts.publish)
        if count != before:
            parts.size += size
            if 2 * parts.size >= self._params.rpc_bytes_max or count >= self._params.rpc_messages_max:
                self.due_ms = now_ms

    def ihave(self, peer: bytes, topic: str, ids: tuple[bytes, ...], now_ms: int) -> None:
        """Advertise ids; they replace the unsent ids of the topic."""
        self._control(peer, now_ms).ihave[topic] = ids

    def iwant(self, peer: bytes, mid: bytes, now_ms: int) -> None:
        self._control(peer, now_ms).iwant[mid] = None

    def graft(self, peer: bytes, topic: str, now_ms: int) -> None:
        self._control(peer, now_ms).graft[topic] = None

    def prune(self, peer: bytes, topic: str, backoff_s: int, now_ms: int) -> None:
        control = self._control(peer, now_ms)
        control.graft.pop(topic, None)
        control.prune[topic] = backoff_s

    def discard(self, peer: bytes, key: MessageKey, now_ms: int) -> bool:
        """The peer has the message already. True if it was going to be sent."""
        if self._forwards.decline(peer, key, now_ms):
            return True
        parts = self._parts.get(peer)
        if parts is None or key not in parts.publish:
            return False
        parts.size -= message_bytes(parts.publish.pop(key))
        return True

    def forget(self, peer: bytes) -> None:
        self._parts.pop(peer, None)
        self._forwards.forget(peer)

    def flush(self, now_ms: int) -> list[SendRpc]:
        """All gathered RPCs, sorted by key of the peer, as frames of at most `rpc_bytes_max`."""
        out, self._ready = self._ready, []
        self._forward(now_ms)
        self._free_ms = now_ms + self._params.batch_ms
        due_ms = self._forwards.due_ms()
        self.due_ms = None if due_ms is None else max(due_ms, self._free_ms)
        if self._parts:
            limits = self._params
            shared: dict[tuple[tuple[MessageKey, ...], tuple[bytes, ...]], Rpc] = {}
            for peer in sorted(self._parts):
                parts = self._parts[peer]
                size = parts.size + _ID_BYTES * len(parts.had)
                full = size > limits.rpc_bytes_max or len(parts.publish) > limits.rpc_messages_max
                if parts.control is not None or full:
                    out += [SendRpc(peer, rpc) for rpc in self._frames(parts)]
                elif parts.publish or parts.had:
                    had = tuple(parts.had)
                    keys = (tuple(parts.publish), had)
                    rpc = shared.get(keys) or Rpc(publish=tuple(parts.publish.values()), idontwant=had)
                    shared[keys] = rpc
                    out.append(SendRpc(peer, rpc))
            self._parts.clear()
        return out

    def _forward(self, now_ms: int) -> None:
        """Put messages that have waited into the frames that leave now, for the peers that did not decline them."""
        self.forwarded = 0
        for forward in self._forwards.take(now_ms):
            size = message_bytes(forward.message)
            for peer in forward.peers:
                parts = self._parts.get(peer) or self._open(peer, now_ms)
                self._add(parts, forward.message.key, forward.message, size, now_ms)
                self.forwarded += 1

    def _control(self, peer: bytes, now_ms: int) -> _Control:
        parts = self._parts.get(peer) or self._open(peer, now_ms)
        control = parts.control
        if control is None:
            control = parts.control = _Control()
        return control

    def _open(self, peer: bytes, now_ms: int) -> _Parts:
        if self.due_ms is None:
            at_rest = self._params.batch_at_rest
            self.due_ms = now_ms + self._params.batch_ms if at_rest else max(now_ms, self._free_ms)
        parts = self._parts[peer] = _Parts()
        return parts

    def _frames(self, parts: _Parts) -> Iterator[Rpc]:
        batch: list[Rpc] = []
        size = messages = ids = 0
        limits = self._params
        for piece, piece_bytes in parts.pieces(limits.ihave_ids_max):
            piece_ids = len(piece.iwant) + len(piece.idontwant) + sum(len(offered) for _, offered in piece.ihave)
            size += piece_bytes
            messages += len(piece.publish)
            ids += piece_ids
            full = size > limits.rpc_bytes_max or messages > limits.rpc_messages_max or ids > limits.ihave_ids_max
            if batch and full:
                yield merge(batch)
                batch = []
                size, messages, ids = piece_bytes, len(piece.publish), piece_ids
            batch.append(piece)
        if batch:
            yield merge(batch)


def merge(rpcs: list[Rpc]) -> Rpc:
    """One RPC with the parts of several. The caller keeps to the limits of a frame.

    Receivers handle an RPC part by part, so a GRAFT that follows a PRUNE of its topic needs its own frame.
    """
    return Rpc(
        subscriptions=tuple(item for rpc in rpcs for item in rpc.subscriptions),
        publish=tuple(item for rpc in rpcs for item in rpc.publish),
        ihave=tuple(item for rpc in rpcs for item in rpc.ihave),
        iwant=tuple(item for rpc in rpcs for item in rpc.iwant),
        graft=tuple(item for rpc in rpcs for item in rpc.graft),
        prune=tuple(item for rpc in rpcs for item in rpc.prune),
        idontwant=tuple(item for rpc in rpcs for item in rpc.idontwant),
    )
