"""The fanout of gossipsub v1.0: the peers that get our messages on topics that we do not subscribe to.

With flood publishing, the default, no fanout is kept (gossipsub v1.1, "Flood Publishing").
"""

from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState, PeerTable


class Fanout:
    """D peers per topic, kept while we publish there; at most `topics_per_peer_max` topics."""

    def __init__(self, params: GossipParams, dice: Dice, peers: PeerTable) -> None:
        self._params = params
        self._dice = dice
        self._peers = peers
        self._chosen: dict[str, list[bytes]] = {}
        self._until_ms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._chosen)

    def topics(self) -> list[str]:
        return list(self._chosen)

    def peers(self, topic: str) -> tuple[bytes, ...]:
        return tuple(self._chosen.get(topic, ()))

    def targets(self, topic: str, excluded: frozenset[bytes], now_ms: int) -> tuple[bytes, ...]:
        """The peers to publish to now; the topic is kept for another `fanout_ms`."""
        self._chosen.setdefault(topic, [])
        self._until_ms[topic] = now_ms + self._params.fanout_ms
        self._refresh(topic, excluded)
        while len(self._chosen) > self._params.topics_per_peer_max:
            self.take(next(iter(self._chosen)))
        return self.peers(topic)

    def take(self, topic: str) -> tuple[bytes, ...]:
        """Remove a topic, because we subscribed to it or gave it up; returns its peers."""
        self._until_ms.pop(topic, None)
        return tuple(self._chosen.pop(topic, ()))

    def maintain(self, excluded: frozenset[bytes], now_ms: int) -> None:
        """The heartbeat's part: topics expire, and peers that are gone are replaced."""
        for topic in list(self._chosen):
            if self._until_ms[topic] <= now_ms:
                self.take(topic)
            else:
                self._refresh(topic, excluded)

    def _refresh(self, topic: str, excluded: frozenset[bytes]) -> None:
        good = [state.peer for state in self._peers.on_topic(topic) if self._worthy(state, excluded)]
        kept = [peer for peer in self._chosen[topic] if peer in good]
        others = [peer for peer in good if peer not in kept]
        self._chosen[topic] = sorted(kept + self._dice.sample(others, max(0, self._params.degree - len(kept))))

    def _worthy(self, state: PeerState, excluded: frozenset[bytes]) -> bool:
        return state.card.score >= self._params.score.publish_threshold and state.peer not in excluded
