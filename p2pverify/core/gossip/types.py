"""The vocabulary of the gossip router: RPCs, events in, effects out. Data only.

The RPC mirrors the protobuf of gossipsub v1.2 (libp2p specs, pubsub/gossipsub); the network adapter encodes and
decodes it. The most frequent objects are named tuples, because these are the cheapest to create.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from p2pverify.core.errors import GossipVerdict

PROTOCOL_ID: Final = "/meshsub/1.2.0"
OLD_PROTOCOL_ID: Final = "/meshsub/1.1.0"  # the same without IDONTWANT
MESSAGE_ID_BYTES: Final = 32
MESSAGE_BYTES_MAX: Final = 256 * 1024
RPC_BYTES_MAX: Final = 1024 * 1024
TOPIC_BYTES_MAX: Final = 256
ITEM_BYTES: Final = 32  # upper bound of the tags and lengths of protobuf around one item, with room to spare

MessageKey = tuple[str, bytes]  # topic and message id


def message_id(data: bytes) -> bytes:
    """SHA-256 of the data (32 B): equal content is the same message, from any sender."""
    return sha256(data).digest()


def topic_bytes(topic: str) -> int:
    """Length of a topic on the wire; defined for every string."""
    return len(topic.encode("utf-8", "surrogatepass"))


def message_bytes(message: "GossipMessage") -> int:
    """Upper bound of a message's bytes in a frame; a character of the topic takes up to 4 bytes."""
    return ITEM_BYTES + 4 * len(message.topic) + len(message.data)


def records_topic(network_id: bytes) -> str:
    """The topic for the records of a network (id of 32 B)."""
    return "p2pverify/1/" + network_id.hex()


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """One message on a topic. `extra_fields`: from, seqno, signature or key was set (StrictNoSign forbids it).

    The id is cached, so that the data is hashed once.
    """

    topic: str
    data: bytes
    extra_fields: bool = False
    _key: MessageKey | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def key(self) -> MessageKey:
        """Topic and message id: the key of the message in caches."""
        key = self._key
        if key is None:
            key = (self.topic, message_id(self.data))
            object.__setattr__(self, "_key", key)
        return key


@dataclass(frozen=True, slots=True)
class Rpc:
    """One frame between two routers; receivers handle its parts in the order of the fields."""

    subscriptions: tuple[tuple[bool, str], ...] = ()  # (subscribe, topic)
    publish: tuple[GossipMessage, ...] = ()
    ihave: tuple[tuple[str, tuple[bytes, ...]], ...] = ()  # (topic, message ids)
    iwant: tuple[bytes, ...] = ()
    graft: tuple[str, ...] = ()
    prune: tuple[tuple[str, int | None], ...] = ()  # (topic, backoff in seconds)
    idontwant: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer (32 B key) can be written to.

    `outbound`: we dialled it. `ip`: its address, "" if unknown. `hears_idontwant`: it speaks gossipsub v1.2.
    """

    peer: bytes
    outbound: bool
    ip: str = ""
    hears_idontwant: bool = False


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    peer: bytes


class RpcReceived(NamedTuple):
    peer: bytes
    rpc: Rpc


@dataclass(frozen=True, slots=True)
class RpcMalformed:
    """The peer sent a frame that is no RPC."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    topic: str


@dataclass(frozen=True, slots=True)
class PublishMessage:
    """Our own message: it needs no verdict and is not delivered to us."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class MessageVerdict:
    """The application's answer to a Deliver."""

    message_id: bytes
    verdict: GossipVerdict


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The answers to several Delivers, by message id, in their order."""

    verdicts: tuple[tuple[bytes, GossipVerdict], ...]


@dataclass(frozen=True, slots=True)
class GossipTick:
    """Time has passed; due at `Router.next_wakeup_ms()`, harmless at any other time."""


@dataclass(frozen=True, slots=True)
class Exclude:
    """Keep exactly these peers out of our meshes, because their conviction is certified.

    This is not a score. Their messages are read and judged as before, because they may be evidence, and they still
    hear of everything. The last event counts; at most `excluded_max` keys.
    """

    peers: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Appraise:
    """The application's own score of a peer (P5), in thousandths; 0 by default."""

    peer: bytes
    score: int


NetworkEvent = PeerConnected | PeerDisconnected | RpcReceived | RpcMalformed
Event = (
    NetworkEvent
    | Subscribe
    | Unsubscribe
    | PublishMessage
    | MessageVerdict
    | Verdicts
    | Exclude
    | Appraise
    | GossipTick
)


class SendRpc(NamedTuple):
    peer: bytes
    rpc: Rpc


class Deliver(NamedTuple):
    """Judge this message and answer with a MessageVerdict; `source` is the peer that sent it first."""

    topic: str
    data: bytes
    message_id: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection. The router has forgotten the peer already and needs no PeerDisconnected."""

    peer: bytes
    reason: str


Effect = SendRpc | Deliver | Disconnect

#: Counters in `Router.statistics()`, since the start. Ids and messages sent are counted once per receiver.
COUNTERS: Final = (
    "faults_invalid",
    "faults_misbehaviour",
    "grafts_in_backoff",
    "grafts_opportunistic",
    "grafts_refused",
    "grafts_sent",
    "heartbeats",
    "idontwant_ids_ignored",
    "idontwant_ids_received",
    "idontwant_ids_sent",
    "ihave_ids_sent",
    "ihaves_ignored",
    "iwant_ids_answered",
    "iwant_ids_sent",
    "iwant_ids_unanswered",
    "iwants_ignored",
    "messages_delivered",
    "messages_dropped",
    "messages_duplicate",
    "messages_published",
    "messages_received",
    "messages_sent",
    "messages_spared",
    "messages_unsubscribed",
    "peers_ended",
    "peers_refused",
    "pending_expired",
    "promises_broken",
    "promises_excused",
    "prunes_sent",
    "publish_repeated",
    "rpcs_graylisted",
    "rpcs_malformed",
    "rpcs_of_strangers",
    "rpcs_received",
    "rpcs_sent",
    "subscriptions_refused",
    "verdicts_accept",
    "verdicts_ignore",
    "verdicts_late",
    "verdicts_reject",
)
