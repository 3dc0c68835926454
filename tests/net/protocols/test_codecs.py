"""The bytes of frames, addresses, peer lists and gossip RPCs."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.gossip.types import GossipMessage, Rpc
from p2pverify.net.border import multistream
from p2pverify.net.border.framing import FrameTooLargeError, encode_varint, read_frame, read_varint_frame, varint_frame
from p2pverify.net.border.harden import ID, Identify
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.protocols.rpc_codec import IDS_MAX, RECENT_MAX, RpcDecoder, decode_rpc, encode_rpc
from p2pverify.node.endpoints.address import Address, parse_address, peer_from_id_bytes
from tests.net.real_peers import call, join, stranger

KEY = bytes(range(32))

RPCS = [
    Rpc(),
    Rpc(subscriptions=((True, "a"), (False, "b"))),
    Rpc(publish=(GossipMessage("a", b"data"), GossipMessage("b", b""))),
    Rpc(ihave=(("a", (b"\xff" * 32, b"\x00" * 32)),), iwant=(b"\x80" * 32,)),
    Rpc(graft=("a", "b"), prune=(("a", 60), ("b", None))),
    Rpc(publish=(GossipMessage("a", b"data"),), idontwant=(b"\x80" * 32, b"\x00" * 32)),
]


@pytest.mark.parametrize("rpc", RPCS)
def test_rpc_round_trip(rpc):
    """An encoded RPC is read back equal."""
    assert decode_rpc(encode_rpc(rpc)) == rpc


def test_rpc_bytes_are_those_of_the_specification():
    """One publish and one GRAFT have the bytes of the protobuf specification."""
    rpc = Rpc(publish=(GossipMessage("t", b"xy"),), graft=("t",))
    assert encode_rpc(rpc).hex() == "1207" + "12027879" + "220174" + "1a05" + "1a03" + "0a0174"


def test_rpc_remarks_signed_fields():
    """from, seqno, signature and key each set extra_fields."""
    for field in (b"\x0a\x01x", b"\x1a\x01x", b"\x2a\x01x", b"\x32\x01x"):
        body = b"\x22\x01t" + field
        assert decode_rpc(b"\x12" + bytes([len(body)]) + body).publish[0].extra_fields


def test_rpc_of_messages_that_were_encoded_before():
    """The bytes do not depend on messages to other peers."""
    first, second = GossipMessage("a", b"first"), GossipMessage("a", b"second" * 100)
    parts = {}
    for rpc in (Rpc(publish=(first,)), Rpc(publish=(second, first), graft=("a",)), *RPCS):
        assert encode_rpc(rpc, parts) == encode_rpc(rpc)


def test_rpc_of_messages_that_came_before():
    """A repeated message is the same object. A message with another topic or signed fields is decoded again."""
    decoder = RpcDecoder()
    once = encode_rpc(Rpc(publish=(GossipMessage("t", b"xy"),)))
    known = decoder.decode(once).publish[0]
    assert decoder.decode(once).publish[0] is known
    assert decoder.decode(b"\x12\x0a" + once[2:] + b"\x0a\x01x").publish == (GossipMessage("t", b"xy", True),)
    assert decoder.decode(encode_rpc(Rpc(publish=(GossipMessage("u", b"xy"),)))).publish == (GossipMessage("u", b"xy"),)
    many = tuple(GossipMessage("t", number.to_bytes(2, "big")) for number in range(RECENT_MAX))
    assert decoder.decode(encode_rpc(Rpc(publish=many))).publish == many
    assert len(decoder._recent) == RECENT_MAX
    assert decoder.decode(once).publish[0] is not known


def test_rpc_limits():
    """More message ids than a frame may hold are refused."""
    rpc = Rpc(iwant=(b"x",) * (IDS_MAX + 1))
    with pytest.raises(DecodeError, match="too many message ids"):
        decode_rpc(encode_rpc(rpc))


@given(st.binary(max_size=400))
def test_rpc_of_any_bytes(data):
    """Any bytes give an RPC with texts as topics, or a DecodeError."""
    try:
        rpc = decode_rpc(data)
    except DecodeError:
        return
    assert all(isinstance(topic, str) for _, topic in rpc.subscriptions)
    assert all(isinstance(message.topic, str) for message in rpc.publish)


ADDRESSES = [
    Address("ip4", "127.0.0.1", 4001),
    Address("ip4", "192.0.2.1", 65535, KEY),
    Address("ip6", "2001:db8::1", 1, KEY),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_round_trip(address):
    """Text and value are equivalent."""
    assert parse_address(str(address)) == address


def test_names_are_for_bootstrap_only():
    """A DNS name is read where it is allowed, and refused elsewhere."""
    assert parse_address("/dns4/seed.example.org/tcp/4001", allow_dns=True).host == "seed.example.org"
    with pytest.raises(DecodeError):
        parse_address("/dns4/seed.example.org/tcp/4001")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "127.0.0.1:4001",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/4001",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/04001",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/٣",
        "/ip4/127.0.0.01/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip4/127.0.0.1/tcp/1/",
        "/ip4/127.0.0.1/tcp/1/p2p/",
        "/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "/ip4/127.0.0.1/tcp/1/ipfs/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        "/dns4/a..b/tcp/1",
        "/dns4/-/tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p/" + "1" * 200,
    ],
)
def test_addresses_that_are_none(text):
    """Every other text is a DecodeError."""
    with pytest.raises(DecodeError):
        parse_address(text, allow_dns=True)


def test_multiaddr_bytes():
    """The binary form is code, address, code, port (multiformats table)."""
    assert parse_address("/ip4/127.0.0.1/tcp/4001").to_multiaddr_bytes().hex() == "047f000001060fa1"
    assert parse_address("/ip6/::1/tcp/1").to_multiaddr_bytes().hex() == "29" + "00" * 15 + "01" + "060001"


def test_peer_ids_are_those_of_libp2p():
    """This package and the library write the same peer id."""
    assert peer_from_id_bytes(ID.from_base58(peer_id(KEY)).to_bytes()) == KEY
    with pytest.raises(DecodeError):
        peer_from_id_bytes(b"\x12\x20" + KEY)


@given(st.integers(min_value=0, max_value=2**28 - 1))
def test_varints(number):
    """A varint has seven bits a byte, least significant first, and no unneeded bytes."""
    encoded = encode_varint(number)
    assert len(encoded) == max(1, math.ceil(number.bit_length() / 7))
    assert sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded)) == number


class Bytes:
    """Bytes to read, as a channel and as a stream, and nothing after them. Written bytes are kept."""

    def __init__(self, data):
        self._data = data
        self.written = b""

    async def read_some(self, size):
        chunk, self._data = self._data[:size], self._data[size:]
        return chunk

    async def read_exact(self, size):
        if len(self._data) < size:
            raise StreamBrokenError("the stream ended in the middle")
        return await self.read_some(size)

    async def write(self, data):
        self.written += data

    def has_buffered(self):
        return bool(self._data)


async def test_frames():
    """A frame is read whole. A frame that is too long is refused by its length alone."""
    assert await read_frame(Bytes(b"\0\0\0\x02hi rest"), 2) == b"hi"
    assert await read_frame(Bytes(b"\0\0\0\0"), 2) == b""
    with pytest.raises(FrameTooLargeError):
        await read_frame(Bytes(b"\0\0\0\x03"), 2)
    for cut in (b"", b"\0\0", b"\0\0\0\x02h"):
        with pytest.raises(StreamBrokenError):
            await read_frame(Bytes(cut), 2)


async def test_varint_frames():
    """The same holds for frames with a varint. The stream may also end between two frames."""
    stream = Bytes(varint_frame(b"hi") + varint_frame(b"") + varint_frame(b"x" * 300))
    assert [await read_varint_frame(stream, 300) for _ in range(4)] == [b"hi", b"", b"x" * 300, None]
    with pytest.raises(FrameTooLargeError):
        await read_varint_frame(Bytes(varint_frame(b"x" * 300)), 299)
    with pytest.raises(RemoteProtocolError):
        await read_varint_frame(Bytes(b"\x80" * 9), 300)
    with pytest.raises(StreamBrokenError):
        await read_varint_frame(Bytes(b"\x80"), 300)


async def test_negotiation_accepts_in_one_write():
    """A proposal that has already arrived is answered together with the greeting."""
    greeting = multistream.encode_message(multistream.MULTISTREAM)
    channel = Bytes(greeting + multistream.encode_message("/b/1"))
    assert await multistream.accept(channel, {"/a/1", "/b/1"}) == "/b/1"
    assert channel.written == greeting + multistream.encode_message("/b/1")


@pytest.mark.parametrize("answer", ["/other/1", "/a/1 ", "ls"])
async def test_negotiation_wants_what_it_proposed(answer):
    """Agreement to another protocol is a fault of the peer."""
    greeting = multistream.encode_message(multistream.MULTISTREAM)
    with pytest.raises(RemoteProtocolError):
        await multistream.propose(Bytes(greeting + multistream.encode_message(answer)), "/a/1")


@given(st.binary(max_size=600))
def test_negotiation_of_any_bytes(data):
    """Any bytes give a known protocol, a fault or the end of the stream."""

    async def negotiated():
        try:
            assert await multistream.accept(Bytes(data), {"/a/1"}) == "/a/1"
        except (RemoteProtocolError, StreamBrokenError):
            return

    trio.run(negotiated)


async def test_identify_and_ping(nursery):
    """Other implementations learn the key, the address and the protocols, and get their pings back."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        connection = await call(await stranger(nursery), alice)
        async with await connection.open_stream("/ipfs/id/1.0.0") as stream:
            frame = await read_varint_frame(stream, 4096)
        message = Identify()
        message.ParseFromString(frame)
        assert message.public_key == b"\x08\x01\x12\x20" + alice.key
        assert list(message.listen_addrs) == [parse_address(alice.address).to_multiaddr_bytes()]
        assert {"/meshsub/1.2.0", "/meshsub/1.1.0", "/ipfs/ping/1.0.0", "/p2pverify/request/2"} <= set(
            message.protocols
        )
        async with await connection.open_stream("/ipfs/ping/1.0.0") as stream:
            for challenge in (b"a" * 32, b"b" * 32):
                await stream.write(challenge)
                assert await stream.read_exact(32) == challenge
