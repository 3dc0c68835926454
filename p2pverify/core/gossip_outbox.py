"""RPCs in the making: what is to be sent to each peer, gathered so that one frame carries many messages.

Nothing waits here longer than the batch time; queues towards slow peers belong to the network adapter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_types import GossipMessage, Rpc, topic_bytes

# Upper bounds of the protobuf's tags and lengths around one item, with room to spare.
_ITEM_BYTES = 32
_ID_BYTES = 36


@dataclass(slots=True)
class _Parts:
    """The unsent RPC to one peer. Dictionaries are ordered sets here."""

    subscriptions: list[tuple[bool, str]] = field(default_factory=list)
    publish: dict[bytes, GossipMessage] = field(default_factory=dict)
    ihave: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    iwant: dict[bytes, None] = field(default_factory=dict)
    graft: dict[str, None] = field(default_factory=dict)
    prune: dict[str, int] = field(default_factory=dict)
    data_bytes: int = 0

    def pieces(self, iwant_ids_max: int) -> Iterator[tuple[Rpc, int]]:
        """One-item RPCs in wire order, each with its size at most."""
        for subscribe, topic in self.subscriptions:
            yield Rpc(subscriptions=((subscribe, topic),)), _text_bytes(topic)
        for message in self.publish.values():
            yield Rpc(publish=(message,)), _text_bytes(message.topic) + len(message.data)
        for topic, ids in self.ihave.items():
            yield Rpc(ihave=((topic, ids),)), _text_bytes(topic) + _ID_BYTES * len(ids)
        wanted = list(self.iwant)
        for start in range(0, len(wanted), iwant_ids_max):
            ids = tuple(wanted[start : start + iwant_ids_max])
            yield Rpc(iwant=ids), _ITEM_BYTES + _ID_BYTES * len(ids)
        for topic in self.graft:
            yield Rpc(graft=(topic,)), _text_bytes(topic)
        for topic, backoff_s in self.prune.items():
            yield Rpc(prune=((topic, backoff_s),)), _text_bytes(topic)


def _text_bytes(text: str) -> int:
    return _ITEM_BYTES + topic_bytes(text)


class Outbox:
    """Collects per peer, and hands out RPCs within the limits of a frame."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._parts: dict[bytes, _Parts] = {}
        self._due_ms: int | None = None

    @property
    def due_ms(self) -> int | None:
        """When to flush; None if empty."""
        return self._due_ms

    def subscription(self, peer: bytes, *, subscribe: bool, topic: str, now_ms: int) -> None:
        self._open(peer, now_ms).subscriptions.append((subscribe, topic))

    def message(self, peer: bytes, mid: bytes, message: GossipMessage, now_ms: int) -> None:
        parts = self._open(peer, now_ms)
        if mid in parts.publish:
            return
        parts.publish[mid] = message
        parts.data_bytes += len(message.data)
        if 2 * parts.data_bytes >= self._params.rpc_bytes_max or len(parts.publish) >= self._params.rpc_messages_max:
            self._due_ms = now_ms

    def ihave(self, peer: bytes, topic: str, ids: tuple[bytes, ...], now_ms: int) -> None:
        """Advertise ids, instead of what was to be advertised before on the topic."""
        self._open(peer, now_ms).ihave[topic] = ids

    def iwant(self, peer: bytes, mid: bytes, now_ms: int) -> None:
        self._open(peer, now_ms).iwant[mid] = None

    def graft(self, peer: bytes, topic: str, now_ms: int) -> None:
        self._open(peer, now_ms).graft[topic] = None

    def prune(self, peer: bytes, topic: str, backoff_s: int, now_ms: int) -> None:
        parts = self._open(peer, now_ms)
        parts.graft.pop(topic, None)
        parts.prune[topic] = backoff_s

    def discard(self, peer: bytes, mid: bytes) -> None:
        """The peer has the message already."""
        parts = self._parts.get(peer)
        if parts is not None and mid in parts.publish:
            parts.data_bytes -= len(parts.publish.pop(mid).data)

    def forget(self, peer: bytes) -> None:
        self._parts.pop(peer, None)

    def flush(self) -> list[tuple[bytes, Rpc]]:
        """Everything gathered, by peer in order of the key, as frames of at most rpc_bytes_max."""
        out = [(peer, rpc) for peer in sorted(self._parts) for rpc in self._frames(self._parts[peer])]
        self._parts.clear()
        self._due_ms = None
        return out

    def _open(self, peer: bytes, now_ms: int) -> _Parts:
        if self._due_ms is None:
            self._due_ms = now_ms + self._params.batch_ms
        parts = self._parts.get(peer)
        if parts is None:
            parts = self._parts[peer] = _Parts()
        return parts

    def _frames(self, parts: _Parts) -> Iterator[Rpc]:
        batch: list[Rpc] = []
        size = messages = ids = 0
        limits = self._params
        for piece, piece_bytes in parts.pieces(limits.ihave_ids_max):
            piece_ids = len(piece.iwant) + sum(len(offered) for _, offered in piece.ihave)
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
    )
