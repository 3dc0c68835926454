"""The messages of circuit v2 (libp2p specs, relay/circuit-v2.md): one protobuf per frame, with a varint length.

The initiator of a circuit and a peer behind a relay talk to the relay on HOP, the relay to the peer on STOP. Peers with
keys of other kinds than Ed25519 are no peers of ours, and their messages are malformed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from google.protobuf.message import DecodeError as ProtobufError

from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError
from p2pverify.net.border.framing import encode_varint
from p2pverify.net.border.harden import circuit_pb2
from p2pverify.node.endpoints.address import Address, id_bytes, peer_from_id_bytes

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
MESSAGE_BYTES_MAX = 4096
_VOUCHER_DOMAIN = b"libp2p-relay-rsvp"
_VOUCHER_TYPE = b"\x03\x02"
_KEY_PROTOBUF = b"\x08\x01\x12\x20"  # of an Ed25519 public key, without the key
_P2P_CODE = b"\xa5\x03"  # of /p2p/ in a binary multiaddr
_LENGTH_DELIMITED = 2


class CircuitStatus(IntEnum):
    """The answers of a relay, or of a peer behind it."""

    OK = 100
    RESERVATION_REFUSED = 200
    RESOURCE_LIMIT_EXCEEDED = 201
    PERMISSION_DENIED = 202
    CONNECTION_FAILED = 203
    NO_RESERVATION = 204
    MALFORMED_MESSAGE = 400
    UNEXPECTED_MESSAGE = 401


@dataclass(frozen=True, slots=True)
class HopRequest:
    """RESERVE if `target` is None, else CONNECT to that peer."""

    target: bytes | None


@dataclass(frozen=True, slots=True)
class HopAnswer:
    """`status` is a number, which need not be a `CircuitStatus`.

    A granted reservation has its end in Unix seconds and its voucher; otherwise they are 0 and empty.
    """

    status: int
    expires_s: int = 0
    voucher: bytes = b""


@dataclass(frozen=True, slots=True)
class Grant:
    """A reservation as the relay tells it. Times in seconds, sizes in bytes."""

    expires_s: int  # Unix time
    addresses: Sequence[Address]  # of the relay, with its key
    voucher: bytes


def encode_hop_request(request: HopRequest) -> bytes:
    if request.target is None:
        return _bytes(circuit_pb2.HopMessage(type=circuit_pb2.HopMessage.RESERVE))
    peer = circuit_pb2.PeerId(id=id_bytes(request.target))
    return _bytes(circuit_pb2.HopMessage(type=circuit_pb2.HopMessage.CONNECT, peer=peer))


def decode_hop_request(data: bytes) -> HopRequest:
    """Raises DecodeError."""
    message = _parse(circuit_pb2.HopMessage, data)
    if message.type == circuit_pb2.HopMessage.RESERVE and message.HasField("type"):
        return HopRequest(None)
    if message.type == circuit_pb2.HopMessage.CONNECT:
        return HopRequest(_peer(message))
    raise DecodeError("neither RESERVE nor CONNECT")


def encode_hop_answer(
    status: CircuitStatus, grant: Grant | None = None, *, circuit_seconds: int = 0, circuit_bytes: int = 0
) -> bytes:
    """The limits of a circuit stand in a grant, and in the answer that opens one."""
    message = circuit_pb2.HopMessage(type=circuit_pb2.HopMessage.STATUS, status=circuit_pb2.Status.Value(status.name))
    if grant is not None:
        message.reservation.expire = grant.expires_s
        message.reservation.addrs.extend(_multiaddr(address) for address in grant.addresses)
        message.reservation.voucher = grant.voucher
    if circuit_bytes:
        message.limit.duration = circuit_seconds
        message.limit.data = circuit_bytes
    return _bytes(message)


def decode_hop_answer(data: bytes) -> HopAnswer:
    """Raises DecodeError."""
    message = _parse(circuit_pb2.HopMessage, data)
    if message.type != circuit_pb2.HopMessage.STATUS:
        raise DecodeError("not a STATUS")
    return HopAnswer(message.status, message.reservation.expire, message.reservation.voucher)


def encode_stop_request(source: bytes, circuit_seconds: int, circuit_bytes: int) -> bytes:
    return _bytes(
        circuit_pb2.StopMessage(
            type=circuit_pb2.StopMessage.CONNECT,
            peer=circuit_pb2.PeerId(id=id_bytes(source)),
            limit=circuit_pb2.Limit(duration=circuit_seconds, data=circuit_bytes),
        )
    )


def decode_stop_request(data: bytes) -> bytes:
    """The peer that opens the circuit, as the relay says. Raises DecodeError."""
    message = _parse(circuit_pb2.StopMessage, data)
    if message.type != circuit_pb2.StopMessage.CONNECT or not message.HasField("type"):
        raise DecodeError("not a CONNECT")
    return _peer(message)


def encode_stop_answer(status: CircuitStatus) -> bytes:
    return _bytes(
        circuit_pb2.StopMessage(type=circuit_pb2.StopMessage.STATUS, status=circuit_pb2.Status.Value(status.name))
    )


def decode_stop_answer(data: bytes) -> int:
    """The status. Raises DecodeError."""
    message = _parse(circuit_pb2.StopMessage, data)
    if message.type != circuit_pb2.StopMessage.STATUS:
        raise DecodeError("not a STATUS")
    return int(message.status)


def sign_voucher(seed: bytes, peer: bytes, expires_s: int) -> bytes:
    """A relay's promise to a peer (libp2p RFC 0002, signed envelopes; RFC 0003). `seed` is the relay's identity."""
    relay = sign.public_key(seed)
    payload = _bytes(circuit_pb2.Voucher(relay=id_bytes(relay), peer=id_bytes(peer), expiration=expires_s))
    signature = sign.sign(seed, _signed(payload))
    parts = (_KEY_PROTOBUF + relay, _VOUCHER_TYPE, payload, signature)
    return b"".join(_field(number, part) for number, part in zip((1, 2, 3, 5), parts, strict=True))


def decode_voucher(data: bytes, relay: bytes, peer: bytes) -> int:
    """The end of a reservation in Unix seconds. Raises DecodeError unless this relay promised it to this peer."""
    fields = _fields(data)
    if set(fields) != {1, 2, 3, 5} or fields[1] != _KEY_PROTOBUF + relay or fields[2] != _VOUCHER_TYPE:
        raise DecodeError("not a voucher of this relay")
    voucher = _parse(circuit_pb2.Voucher, fields[3])
    if (voucher.relay, voucher.peer) != (id_bytes(relay), id_bytes(peer)):
        raise DecodeError("a voucher for another reservation")
    if not sign.verify(relay, _signed(fields[3]), fields[5]):
        raise DecodeError("the voucher is not signed by the relay")
    return int(voucher.expiration)


def _signed(payload: bytes) -> bytes:
    """What the signature of an envelope covers."""
    return b"".join(encode_varint(len(part)) + part for part in (_VOUCHER_DOMAIN, _VOUCHER_TYPE, payload))


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | _LENGTH_DELIMITED]) + encode_varint(len(data)) + data


def _fields(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of an envelope, by number; each occurs once. Raises DecodeError."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise DecodeError("the envelope is too long")
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        tag, at = data[at], at + 1
        size = shift = 0
        while True:
            if at >= len(data) or shift > 14:
                raise DecodeError("the envelope is cut short")
            byte, at = data[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if tag & 7 != _LENGTH_DELIMITED or tag >> 3 in found or at + size > len(data):
            raise DecodeError("not an envelope")
        found[tag >> 3] = data[at : at + size]
        at += size
    return found


def _peer(message: Any) -> bytes:
    if not message.HasField("peer"):
        raise DecodeError("no peer is named")
    return peer_from_id_bytes(message.peer.id)


def _multiaddr(address: Address) -> bytes:
    own = b"" if address.peer is None else _P2P_CODE + bytes([len(id_bytes(address.peer))]) + id_bytes(address.peer)
    return address.to_multiaddr_bytes() + own


def _parse(kind: Any, data: bytes) -> Any:
    if len(data) > MESSAGE_BYTES_MAX:
        raise DecodeError("the message is too long")
    message = kind()
    try:
        message.ParseFromString(data)
    except ProtobufError:
        raise DecodeError("not a message of circuits") from None
    return message


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
