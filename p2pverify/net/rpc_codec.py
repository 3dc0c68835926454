"""The bytes of a gossip RPC: the protobuf of gossipsub v1.1 (libp2p specs, pubsub) to and from `Rpc`.

Strict: what is no protobuf, or holds more parts than a frame may, is a DecodeError. Fields that we do not
know are passed over, as protobuf wants it. What the parts mean is left to the router.
"""

from google.protobuf.message import DecodeError as ProtobufError

from p2pverify.core.errors import DecodeError
from p2pverify.core.gossip_types import GossipMessage, Rpc
from p2pverify.net.harden import rpc_pb2

PARTS_MAX = 4096  # of each kind, in one frame
IDS_MAX = 10_000  # message ids, in all parts of one kind together


def encode_rpc(rpc: Rpc) -> bytes:
    """The protobuf bytes of an RPC, without the length in front."""
    out = rpc_pb2.RPC()
    for subscribe, topic in rpc.subscriptions:
        out.subscriptions.add(subscribe=subscribe, topicid=topic)
    for message in rpc.publish:
        out.publish.add(data=message.data, topicIDs=(message.topic,))
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
    encoded: bytes = out.SerializeToString()
    return encoded


def decode_rpc(data: bytes) -> Rpc:
    """Read the protobuf bytes of an RPC. Raises DecodeError, and nothing else, whatever the bytes."""
    raw = rpc_pb2.RPC()
    try:
        raw.ParseFromString(data)
        return _take(raw)
    except ProtobufError:
        raise DecodeError("the gossip frame is not a protobuf RPC") from None


def _take(raw: rpc_pb2.RPC) -> Rpc:
    control = raw.control
    parts = (raw.subscriptions, raw.publish, control.ihave, control.iwant, control.graft, control.prune)
    if any(len(part) > PARTS_MAX for part in parts):
        raise DecodeError("the gossip frame has too many parts")
    for part in (control.ihave, control.iwant):
        if sum(len(entry.messageIDs) for entry in part) > IDS_MAX:
            raise DecodeError("the gossip frame has too many message ids")
    return Rpc(
        subscriptions=tuple((entry.subscribe, _text(entry.topicid)) for entry in raw.subscriptions),
        publish=tuple(_message(entry) for entry in raw.publish),
        ihave=tuple((_text(entry.topicID), tuple(entry.messageIDs)) for entry in control.ihave),
        iwant=tuple(mid for entry in control.iwant for mid in entry.messageIDs),
        graft=tuple(_text(entry.topicID) for entry in control.graft),
        prune=tuple((_text(e.topicID), e.backoff if e.HasField("backoff") else None) for e in control.prune),
    )


def _text(topic: str | bytes) -> str:
    """The library gives bytes where a text is not UTF-8."""
    if not isinstance(topic, str):
        raise DecodeError("a topic is not UTF-8")
    return topic


def _message(raw: rpc_pb2.Message) -> GossipMessage:
    if len(raw.topicIDs) != 1:
        raise DecodeError("a gossip message has not exactly one topic")
    extra_fields = raw.HasField("from_id") or raw.HasField("seqno") or raw.HasField("signature") or raw.HasField("key")
    return GossipMessage(_text(raw.topicIDs[0]), raw.data, extra_fields)
