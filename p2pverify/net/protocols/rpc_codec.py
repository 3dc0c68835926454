"""The bytes of a gossip RPC: encodes and decodes `Rpc` as the protobuf of gossipsub v1.2 (libp2p specs, pubsub).

Reading is strict: bytes that are not protobuf, or have more parts than a frame may have, raise DecodeError. Unknown
fields are ignored, as protobuf requires. The router interprets the parts.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError as ProtobufError

from p2pverify.core.errors import DecodeError
from p2pverify.core.gossip.types import GossipMessage, MessageKey, Rpc
from p2pverify.core.limits import BoundedDict
from p2pverify.net.border.framing import encode_varint
from p2pverify.net.border.harden import rpc_pb2

PARTS_MAX = 4096  # of each kind, in one frame
IDS_MAX = 10_000  # message ids, over all parts of one kind
RECENT_MAX = 2048  # messages that a decoder remembers, each of at most RECENT_BYTES_MAX
RECENT_BYTES_MAX = 4096


# Tags of protobuf: field number, and wire type 2 (a length, then that many bytes).
_PUBLISH = b"\x12"  # field 2 of RPC
_DATA = b"\x12"  # fields 2 and 4 of Message
_TOPIC = b"\x22"

Parts = dict[MessageKey, bytes]


def encode_rpc(rpc: Rpc, parts: Parts | None = None) -> bytes:
    """The protobuf bytes of an RPC, without the length in front.

    `parts` keeps encoded messages between calls, so that a message for many peers is encoded once.
    """
    if parts is None:
        parts = {}
    out = []
    if rpc.subscriptions:
        out.append(_encode_subscriptions(rpc))
    for message in rpc.publish:
        part = parts.get(message.key)
        if part is None:
            part = parts[message.key] = _encode_message(message)
        out.append(part)
    if rpc.ihave or rpc.iwant or rpc.graft or rpc.prune or rpc.idontwant:
        out.append(_encode_control(rpc))
    return b"".join(out)


def _encode_message(message: GossipMessage) -> bytes:
    """One message as a field of an RPC. Written by hand, because protobuf would copy it once for each peer."""
    topic = message.topic.encode()
    body = b"".join((_DATA, encode_varint(len(message.data)), message.data, _TOPIC, encode_varint(len(topic)), topic))
    return _PUBLISH + encode_varint(len(body)) + body


def _encode_subscriptions(rpc: Rpc) -> bytes:
    out = rpc_pb2.RPC()
    for subscribe, topic in rpc.subscriptions:
        out.subscriptions.add(subscribe=subscribe, topicid=topic)
    encoded: bytes = out.SerializeToString()
    return encoded


def _encode_control(rpc: Rpc) -> bytes:
    out = rpc_pb2.RPC()
    for topic, ids in rpc.ihave:
        out.control.ihave.add(topicID=topic, messageIDs=ids)
    if rpc.iwant:
        out.control.iwant.add(messageIDs=rpc.iwant)
    for topic in rpc.graft:
        out.control.graft.add(topicID=topic)
    for topic, backoff_s in rpc.prune:
        pruned = out.control.prune.add(topicID=topic)
        if backoff_s is not None:
            pruned.backoff = backoff_s
    if rpc.idontwant:
        out.control.idontwant.add(messageIDs=rpc.idontwant)
    encoded: bytes = out.SerializeToString()
    return encoded


def decode_rpc(data: bytes) -> Rpc:
    """Read the protobuf bytes of one RPC. Raises DecodeError and nothing else, for any bytes."""
    return RpcDecoder().decode(data)


class RpcDecoder:
    """Reads RPCs. A message that comes again, as most do in a mesh, gives the same object as before."""

    def __init__(self) -> None:
        self._recent: BoundedDict[bytes, GossipMessage] = BoundedDict(RECENT_MAX)

    def decode(self, data: bytes) -> Rpc:
        """The same result as `decode_rpc`."""
        raw = rpc_pb2.RPC()
        try:
            raw.ParseFromString(data)
            if raw.HasField("control") or raw.subscriptions:
                return self._all(raw)
            return Rpc(publish=self._messages(raw.publish))
        except ProtobufError:
            raise DecodeError("the gossip frame is not a protobuf RPC") from None

    def _all(self, raw: rpc_pb2.RPC) -> Rpc:
        control = raw.control
        parts = (raw.subscriptions, control.ihave, control.iwant, control.graft, control.prune, control.idontwant)
        if any(len(part) > PARTS_MAX for part in parts):
            raise DecodeError("the gossip frame has too many parts")
        for part in (control.ihave, control.iwant, control.idontwant):
            if sum(len(entry.messageIDs) for entry in part) > IDS_MAX:
                raise DecodeError("the gossip frame has too many message ids")
        return Rpc(
            subscriptions=tuple((entry.subscribe, _text(entry.topicid)) for entry in raw.subscriptions),
            publish=self._messages(raw.publish),
            ihave=tuple((_text(entry.topicID), tuple(entry.messageIDs)) for entry in control.ihave),
            iwant=tuple(mid for entry in control.iwant for mid in entry.messageIDs),
            graft=tuple(_text(entry.topicID) for entry in control.graft),
            prune=tuple((_text(e.topicID), e.backoff if e.HasField("backoff") else None) for e in control.prune),
            idontwant=tuple(mid for entry in control.idontwant for mid in entry.messageIDs),
        )

    def _messages(self, raw: Sequence[rpc_pb2.Message]) -> tuple[GossipMessage, ...]:
        if len(raw) > PARTS_MAX:
            raise DecodeError("the gossip frame has too many parts")
        return tuple([self._message(entry) for entry in raw])

    def _message(self, raw: rpc_pb2.Message) -> GossipMessage:
        topics, data = raw.topicIDs, raw.data
        if len(topics) != 1:
            raise DecodeError("a gossip message has not exactly one topic")
        topic = topics[0]
        known = self._recent.get(data)
        if known is not None and known.topic == topic and not _has_extra_fields(raw):
            return known
        message = GossipMessage(_text(topic), data, _has_extra_fields(raw))
        if len(data) <= RECENT_BYTES_MAX and not message.extra_fields:
            self._recent[data] = message
        return message


def _has_extra_fields(raw: rpc_pb2.Message) -> bool:
    return raw.HasField("from_id") or raw.HasField("seqno") or raw.HasField("signature") or raw.HasField("key")


def _text(topic: str | bytes) -> str:
    """The topic as text; the library gives bytes if it is not UTF-8."""
    if not isinstance(topic, str):
        raise DecodeError("a topic is not UTF-8")
    return topic
