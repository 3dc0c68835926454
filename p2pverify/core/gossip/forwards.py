"""Messages of other peers that are forwarded late, because IDONTWANT spares most of their copies (gossipsub v1.2).

A router first tells its mesh that it has a message, then waits, and sends the message to those members that did not
say the same meanwhile. How long it waits is learned from how long they take to say so.
"""

from dataclasses import dataclass
from itertools import takewhile

from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, MessageKey, message_bytes
from p2pverify.core.limits import BoundedDict


@dataclass(slots=True)
class Forward:
    """A message, and the members of the mesh that have not declined it; a dictionary serves as an ordered set."""

    message: GossipMessage
    peers: dict[bytes, None]
    announced_ms: int = 0


class ResponseTime:
    """The time between our IDONTWANT and a peer's for the same message, as TCP learns its timeout (RFC 6298).

    `wait_ms` is at least one batch time and at most one heartbeat.
    """

    def __init__(self, params: GossipParams) -> None:
        self._least_ms = params.batch_ms
        self._most_ms = params.heartbeat_ms
        self._mean = 0  # in eighths of a millisecond
        self._deviation = 0  # in quarters of a millisecond
        self.wait_ms = self._least_ms

    def note(self, took_ms: int) -> None:
        error = min(took_ms, self._most_ms) - self._mean // 8
        self._mean += error
        self._deviation += abs(error) - self._deviation // 4
        self.wait_ms = min(max(self._mean // 8 + self._deviation, self._least_ms), self._most_ms)


class Forwards:
    """The waiting messages by key, in two groups: those that the next frames announce, and those announced before."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._fresh: dict[MessageKey, Forward] = {}
        self._fresh_bytes = 0
        self._announced: dict[MessageKey, Forward] = {}
        self._sent_ms: BoundedDict[MessageKey, int] = BoundedDict(4 * params.rpc_messages_max)  # when announced
        self._response = ResponseTime(params)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._announced)

    def add(self, message: GossipMessage, peers: dict[bytes, None]) -> bool:
        """Keep a message for the peers. True if the next frames should leave now, because many messages wait."""
        self._fresh[message.key] = Forward(message, peers)
        self._fresh_bytes += message_bytes(message)
        limits = self._params
        return 2 * self._fresh_bytes >= limits.rpc_bytes_max or len(self._fresh) >= limits.rpc_messages_max

    def decline(self, peer: bytes, key: MessageKey, now_ms: int) -> bool:
        """The peer has the message. True if it was going to be sent."""
        forward = self._announced.get(key)
        announced_ms = forward.announced_ms if forward is not None else self._sent_ms.get(key)
        if announced_ms is not None:
            self._response.note(now_ms - announced_ms)
        forward = forward or self._fresh.get(key)
        if forward is None or peer not in forward.peers:
            return False
        del forward.peers[peer]
        return True

    def forget(self, peer: bytes) -> None:
        for forward in (*self._fresh.values(), *self._announced.values()):
            forward.peers.pop(peer, None)

    def take(self, now_ms: int) -> list[Forward]:
        """Frames leave now: the messages that have waited long enough. The fresh ones are announced by these frames."""
        wait_ms = self._response.wait_ms
        ready = list(takewhile(lambda forward: forward.announced_ms + wait_ms <= now_ms, self._announced.values()))
        for forward in ready:
            del self._announced[forward.message.key]
            self._sent_ms[forward.message.key] = forward.announced_ms
        for key, forward in self._fresh.items():
            forward.announced_ms = now_ms
            self._announced[key] = forward
        self._fresh.clear()
        self._fresh_bytes = 0
        return ready

    def due_ms(self) -> int | None:
        """When the first announced message has waited long enough; None if there is none."""
        first = next(iter(self._announced.values()), None)
        return None if first is None else first.announced_ms + self._response.wait_ms
