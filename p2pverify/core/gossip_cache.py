"""What the gossip router remembers of messages: seen, being judged, recently accepted, promised.

Every store is bounded in entries, and in bytes where it holds data. None of them decides what to send.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_types import GossipMessage, VerdictWord


class SeenCache:
    """Verdicts by (topic, message id), oldest forgotten first, by age or by number.

    The topic belongs to the key: else data rejected on a wrong topic would be hidden on the right one.
    """

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._entries: dict[tuple[str, bytes], tuple[VerdictWord, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, topic: str, mid: bytes) -> VerdictWord | None:
        entry = self._entries.get((topic, mid))
        return None if entry is None else entry[0]

    def add(self, topic: str, mid: bytes, verdict: VerdictWord, now_ms: int) -> None:
        """Remember a verdict; a later one takes the place of an earlier one."""
        self._entries.pop((topic, mid), None)
        self._entries[topic, mid] = (verdict, now_ms + self._params.seen_ttl_ms)
        while len(self._entries) > self._params.seen_max:
            del self._entries[next(iter(self._entries))]

    def expire(self, now_ms: int) -> None:
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key][1] > now_ms:
                return
            del self._entries[key]


@dataclass(slots=True)
class Pending:
    """A message that the application is judging, and who sent it; `sources` is an ordered set."""

    topic: str
    data: bytes
    expires_ms: int
    sources: dict[bytes, None] = field(default_factory=dict)

    def add_source(self, peer: bytes, params: GossipParams) -> None:
        """Another peer sent it; as many are remembered as can be connected."""
        if len(self.sources) < params.peers_max:
            self.sources[peer] = None


class PendingMessages:
    """Messages delivered and not yet judged, by id; limited in all and per first source."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._entries: dict[bytes, Pending] = {}
        self._by_source: Counter[bytes] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def get(self, mid: bytes) -> Pending | None:
        return self._entries.get(mid)

    def add(self, mid: bytes, message: GossipMessage, source: bytes, now_ms: int) -> bool:
        """Remember a new message; False if there is no room."""
        assert mid not in self._entries
        limits = self._params
        if (
            len(self._entries) >= limits.pending_max
            or self._by_source[source] >= limits.pending_per_peer_max
            or self._bytes + len(message.data) > limits.pending_bytes_max
        ):
            return False
        entry = Pending(message.topic, message.data, now_ms + limits.pending_ms, {source: None})
        self._entries[mid] = entry
        self._by_source[source] += 1
        self._bytes += len(message.data)
        return True

    def pop(self, mid: bytes) -> Pending | None:
        entry = self._entries.pop(mid, None)
        if entry is None:
            return None
        first = next(iter(entry.sources))
        self._by_source[first] -= 1
        if not self._by_source[first]:
            del self._by_source[first]
        self._bytes -= len(entry.data)
        return entry

    def expire(self, now_ms: int) -> int:
        """Drop what was never judged; the number dropped."""
        late = [mid for mid, entry in self._entries.items() if entry.expires_ms <= now_ms]
        for mid in late:
            self.pop(mid)
        return len(late)


@dataclass(slots=True)
class _Cached:
    message: GossipMessage
    sent: Counter[bytes]  # answers to IWANT, by peer


class MessageCache:
    """mcache of gossipsub: accepted messages of the last heartbeats, to be advertised and asked for."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._entries: dict[bytes, _Cached] = {}
        self._windows: deque[deque[bytes]] = deque([deque()])  # newest first; as ordered as the entries
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def put(self, mid: bytes, message: GossipMessage) -> None:
        if mid in self._entries:
            return
        self._entries[mid] = _Cached(message, Counter())
        self._windows[0].append(mid)
        self._bytes += len(message.data)
        limits = self._params
        while len(self._entries) > limits.mcache_messages_max or self._bytes > limits.mcache_bytes_max:
            oldest = next(window for window in reversed(self._windows) if window)
            self._drop(oldest.popleft())

    def ids(self, topic: str) -> list[bytes]:
        """Ids to advertise, oldest first: those of the last gossip_windows heartbeats."""
        recent = list(self._windows)[: self._params.gossip_windows]
        return [mid for window in reversed(recent) for mid in window if self._entries[mid].message.topic == topic]

    def peek(self, mid: bytes) -> GossipMessage | None:
        entry = self._entries.get(mid)
        return None if entry is None else entry.message

    def take(self, mid: bytes, peer: bytes) -> GossipMessage | None:
        """The message for a peer that asked; None if unknown or if the peer had it too often already."""
        entry = self._entries.get(mid)
        if entry is None or entry.sent[peer] >= self._params.retransmissions_max:
            return None
        entry.sent[peer] += 1
        return entry.message

    def shift(self) -> None:
        """A heartbeat has passed: open a new window, forget the oldest."""
        self._windows.appendleft(deque())
        while len(self._windows) > self._params.history_windows:
            for mid in self._windows.pop():
                self._drop(mid)

    def _drop(self, mid: bytes) -> None:
        self._bytes -= len(self._entries.pop(mid).message.data)


class Promises:
    """Messages asked for by IWANT: who promised them by an IHAVE, and until when."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._by_id: dict[bytes, dict[bytes, int]] = {}
        self._by_peer: Counter[bytes] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def room(self, peer: bytes) -> int:
        """How many more messages may be asked of the peer."""
        limits = self._params
        return max(0, min(limits.promises_per_peer_max - self._by_peer[peer], limits.promises_max - self._total))

    def wanted(self, mid: bytes, peer: bytes) -> bool:
        """Whether to ask this peer too: it was not asked yet, nor were enough others."""
        asked = self._by_id.get(mid)
        return asked is None or (peer not in asked and len(asked) < self._params.iwant_parallel_max)

    def add(self, mid: bytes, peer: bytes, now_ms: int) -> None:
        asked = self._by_id.setdefault(mid, {})
        assert peer not in asked
        asked[peer] = now_ms + self._params.iwant_followup_ms
        self._by_peer[peer] += 1
        self._total += 1

    def fulfil(self, mid: bytes) -> None:
        """The message is here, whoever sent it."""
        for peer in self._by_id.pop(mid, {}):
            self._count_down(peer)

    def forget(self, peer: bytes) -> None:
        """The peer is gone; what it owed is no longer expected."""
        if self._by_peer[peer]:
            self._remove([(mid, peer) for mid, asked in self._by_id.items() if peer in asked])

    def expire(self, now_ms: int) -> Counter[bytes]:
        """Remove the broken promises and return their number by peer."""
        broken = [
            (mid, peer) for mid, asked in self._by_id.items() for peer, until_ms in asked.items() if until_ms <= now_ms
        ]
        self._remove(broken)
        return Counter(peer for _, peer in broken)

    def _remove(self, pairs: list[tuple[bytes, bytes]]) -> None:
        for mid, peer in pairs:
            del self._by_id[mid][peer]
            if not self._by_id[mid]:
                del self._by_id[mid]
            self._count_down(peer)

    def _count_down(self, peer: bytes) -> None:
        self._total -= 1
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]
