"""The message stores of the gossip router: seen, being judged, recently accepted, promised.

Every store is bounded in entries, and in bytes where it holds data. None of them decides what to send.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, MessageKey


class SeenCache:
    """Verdicts by (topic, message id) in two generations, young and old; limited by age and by number.

    An entry lives between one and two times `seen_ttl_ms`, and costs only an entry in a dictionary. The topic is
    part of the key; otherwise data rejected on a wrong topic would be hidden on the right one.
    """

    def __init__(self, params: GossipParams) -> None:
        self._ttl_ms = params.seen_ttl_ms
        self._young_max = max(1, params.seen_max // 2)
        self._young: dict[MessageKey, GossipVerdict] = {}
        self._old: dict[MessageKey, GossipVerdict] = {}
        self._turn_ms: int | None = None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: MessageKey) -> GossipVerdict | None:
        return self._young.get(key) or self._old.get(key)

    def unseen(self, topic: str, mids: Iterable[bytes]) -> list[bytes]:
        """The ids of a topic without a known verdict, in the given order."""
        young, old = self._young, self._old
        return [mid for mid in mids if (key := (topic, mid)) not in young and key not in old]

    def add(self, key: MessageKey, verdict: GossipVerdict) -> None:
        """Remember a verdict; it replaces an earlier one."""
        self._old.pop(key, None)
        self._young[key] = verdict
        if len(self._young) >= self._young_max:
            self._turn()

    def expire(self, now_ms: int) -> None:
        """Begin a new generation when the time of the young one is over. Called at every heartbeat."""
        if self._turn_ms is None:
            self._turn_ms = now_ms + self._ttl_ms
        elif self._turn_ms <= now_ms:
            self._turn_ms = now_ms + self._ttl_ms
            self._turn()

    def _turn(self) -> None:
        self._old, self._young = self._young, {}


@dataclass(slots=True)
class Pending:
    """A message that the application is judging. `sources` is an ordered set of the peers that sent it."""

    message: GossipMessage
    expires_ms: int
    sources: dict[bytes, None]

    def add_source(self, peer: bytes, params: GossipParams) -> None:
        """Another peer sent it; at most `peers_max` senders are remembered."""
        if len(self.sources) < params.peers_max:
            self.sources[peer] = None


class PendingMessages:
    """Messages delivered and not yet judged, by id; limited in total and per first source."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._entries: dict[bytes, Pending] = {}
        self._by_source: dict[bytes, int] = {}
        self._bytes = 0
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, mid: bytes) -> bool:
        return mid in self._entries

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def add(self, message: GossipMessage, source: bytes, now_ms: int) -> bool:
        """Remember a new message; False if there is no room."""
        mid = message.key[1]
        assert mid not in self._entries
        limits = self._params
        of_source = self._by_source.get(source, 0)
        if (
            len(self._entries) >= limits.pending_max
            or of_source >= limits.pending_per_peer_max
            or self._bytes + len(message.data) > limits.pending_bytes_max
        ):
            return False
        self._entries[mid] = Pending(message, now_ms + limits.pending_ms, {source: None})
        self._by_source[source] = of_source + 1
        self._bytes += len(message.data)
        return True

    def pop(self, mid: bytes) -> Pending | None:
        entry = self._entries.pop(mid, None)
        if entry is None:
            return None
        first = next(iter(entry.sources))
        left = self._by_source.pop(first) - 1
        if left:
            self._by_source[first] = left
        self._bytes -= len(entry.message.data)
        return entry

    def expire(self, now_ms: int) -> int:
        """Drop messages that were not judged in time; returns their number."""
        late = [mid for mid, entry in self._entries.items() if entry.expires_ms <= now_ms]
        for mid in late:
            self.pop(mid)
        return len(late)


class NearFirst:
    """The peers that sent an accepted message until shortly after our verdict; used only if P3 has a weight."""

    def __init__(self, params: GossipParams) -> None:
        self._window_ms = params.score.delivery_window_ms
        self._max = params.pending_max
        self._entries: dict[MessageKey, tuple[int, set[bytes]]] = {}

    def add(self, key: MessageKey, sources: Iterable[bytes], now_ms: int) -> None:
        """A message was accepted now; its `sources` are rewarded already."""
        if len(self._entries) < self._max:
            self._entries[key] = (now_ms + self._window_ms, set(sources))

    def first_of(self, peer: bytes, key: MessageKey, now_ms: int) -> bool:
        """True once for each peer that sends the message within the window."""
        until_ms, sources = self._entries.get(key, (-1, set[bytes]()))
        if now_ms > until_ms or peer in sources:
            return False
        sources.add(peer)
        return True

    def expire(self, now_ms: int) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if entry[0] >= now_ms}


class MessageCache:
    """mcache of gossipsub: accepted messages of the last heartbeats, for IHAVE and IWANT."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._entries: dict[bytes, GossipMessage] = {}
        self._sent: dict[bytes, Counter[bytes]] = {}  # answers to IWANT, by message and peer
        self._windows: list[list[bytes]] = [[]]  # newest first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def put(self, message: GossipMessage) -> None:
        mid = message.key[1]
        if mid in self._entries:
            return
        self._entries[mid] = message
        self._windows[0].append(mid)
        self._bytes += len(message.data)
        limits = self._params
        while len(self._entries) > limits.mcache_messages_max or self._bytes > limits.mcache_bytes_max:
            oldest = next(window for window in reversed(self._windows) if window)
            self._drop(oldest.pop(0))

    def ids(self, topic: str) -> list[bytes]:
        """The ids to advertise: those of the last `gossip_windows` heartbeats, oldest first."""
        recent = self._windows[: self._params.gossip_windows]
        return [mid for window in reversed(recent) for mid in window if self._entries[mid].topic == topic]

    def peek(self, mid: bytes) -> GossipMessage | None:
        return self._entries.get(mid)

    def take(self, mid: bytes, peer: bytes) -> GossipMessage | None:
        """The message for a peer that asked; None if it is unknown, or was sent to the peer too often."""
        message = self._entries.get(mid)
        if message is None:
            return None
        sent = self._sent.setdefault(mid, Counter())
        if sent[peer] >= self._params.retransmissions_max:
            return None
        sent[peer] += 1
        return message

    def shift(self) -> None:
        """A heartbeat has passed: open a new window, forget the oldest."""
        self._windows.insert(0, [])
        while len(self._windows) > self._params.history_windows:
            for mid in self._windows.pop():
                self._drop(mid)

    def _drop(self, mid: bytes) -> None:
        self._bytes -= len(self._entries.pop(mid).data)
        self._sent.pop(mid, None)


class Promises:
    """Messages requested by IWANT: which peers promised them by IHAVE, and until when.

    Some promises are tracked. A broken promise costs score only if it is tracked.
    """

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._by_id: dict[bytes, dict[bytes, int]] = {}
        self._by_peer: Counter[bytes] = Counter()
        self._tracked: set[tuple[bytes, bytes]] = set()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def __bool__(self) -> bool:
        return self._total > 0

    def room(self, peer: bytes) -> int:
        """How many more messages may be requested from the peer."""
        limits = self._params
        return max(0, min(limits.promises_per_peer_max - self._by_peer[peer], limits.promises_max - self._total))

    def wanted(self, mid: bytes, peer: bytes) -> bool:
        """Whether to ask this peer too: it was not asked yet, and fewer than `iwant_parallel_max` others were."""
        asked = self._by_id.get(mid)
        return asked is None or (peer not in asked and len(asked) < self._params.iwant_parallel_max)

    def add(self, mid: bytes, peer: bytes, now_ms: int, *, tracked: bool = False) -> None:
        asked = self._by_id.setdefault(mid, {})
        assert peer not in asked
        asked[peer] = now_ms + self._params.iwant_followup_ms
        self._by_peer[peer] += 1
        self._total += 1
        if tracked:
            self._tracked.add((mid, peer))

    def fulfil(self, mid: bytes) -> None:
        """The message has arrived, from any peer."""
        for peer in self._by_id.pop(mid, {}):
            self._count_down(mid, peer)

    def forget(self, peer: bytes) -> None:
        """The peer is gone; its promises are no longer expected."""
        if self._by_peer[peer]:
            self._remove([(mid, peer) for mid, asked in self._by_id.items() if peer in asked])

    def expire(self, now_ms: int) -> tuple[int, list[bytes]]:
        """Remove the broken promises. Returns their number, and the peers that broke a tracked one, sorted by key."""
        broken = [
            (mid, peer) for mid, asked in self._by_id.items() for peer, until_ms in asked.items() if until_ms <= now_ms
        ]
        breakers = sorted({pair[1] for pair in broken if pair in self._tracked})
        self._remove(broken)
        return len(broken), breakers

    def _remove(self, pairs: list[tuple[bytes, bytes]]) -> None:
        for mid, peer in pairs:
            del self._by_id[mid][peer]
            if not self._by_id[mid]:
                del self._by_id[mid]
            self._count_down(mid, peer)

    def _count_down(self, mid: bytes, peer: bytes) -> None:
        self._tracked.discard((mid, peer))
        self._total -= 1
        self._by_peer[peer] -= 1
        if not self._by_peer[peer]:
            del self._by_peer[peer]
