"""What strangers can do to a listening peer, and that it goes on answering."""

import os
import struct

import pytest
import trio
import trio.testing

from p2pverify.core.gossip_types import PROTOCOL_ID as GOSSIP
from p2pverify.net import harden, link
from p2pverify.net.address import parse_address
from p2pverify.net.framing import encode_varint, varint_frame, write_frame
from p2pverify.net.negotiate import encode_message
from p2pverify.net.requests import RequestLimits
from p2pverify.net.stream import StreamBrokenError
from tests.net.peers import FakeInbox, assert_answers, call, introduce, join, stranger

GREETING = encode_message("/multistream/1.0.0")

GARBAGE = {
    "random bytes": os.urandom(4096),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
    "only a greeting": GREETING,
    "endless length": GREETING + b"\xff" * 20,
    "no newline": b"\x05hello",
    "not ascii": b"\x03\xff\xfe\n",
    "empty message": b"\x00",
    "proposals without end": GREETING + encode_message("/tls/1.0.0") * 40,
    "random noise": GREETING + encode_message("/noise") + os.urandom(600),
    "long noise": GREETING + encode_message("/noise") + b"\xff\xff" + os.urandom(70_000),
}


async def _raw(peer):
    address = parse_address(peer.address)
    return await trio.open_tcp_stream(address.host, address.port)


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_on_tcp(nursery, name):
    """Bytes that are no handshake end that connection and nothing else."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        raw = await _raw(alice)
        await raw.send_all(GARBAGE[name])
        await raw.send_eof()
        try:
            while await raw.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        await assert_answers(nursery, alice)


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0", "/insecure"])
async def test_nothing_but_noise_is_spoken(nursery, protocol):
    """An offer of plaintext or of other security is answered with na."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        raw = await _raw(alice)
        await raw.send_all(GREETING + encode_message(protocol))
        answer = b""
        while len(answer) < len(GREETING) + 4:
            answer += await raw.receive_some()
        assert answer == GREETING + encode_message("na")


async def test_half_open_connections_do_not_block(nursery):
    """Hundreds of idle connections make room for one that speaks."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        idle = [await _raw(alice) for _ in range(200)]
        await assert_answers(nursery, alice)
        assert alice.count("half_open_evicted") > 0
        for raw in idle:
            await raw.aclose()


GOSSIP_FRAMES = {
    "random": varint_frame(os.urandom(200)),
    "truncated protobuf": varint_frame(b"\x12\xff\x01abc"),
    "two mebibytes": encode_varint(2 << 20) + b"x" * 1000,
    "endless length": b"\xff" * 12,
    "not unicode": varint_frame(b"\x0a\x04\x12\x02\xff\xfe"),
    "message without topic": varint_frame(b"\x12\x03\x12\x01x"),
    "too many parts": varint_frame(b"\x0a\x00" * 5000),
}


@pytest.mark.parametrize("name", GOSSIP_FRAMES)
async def test_malformed_gossip(nursery, name):
    """A frame that is no RPC is counted and resets its stream; gossip with others goes on."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        mallory.handle(GOSSIP, _swallow)
        connection = await call(mallory, alice)
        stream = await connection.open_stream(GOSSIP)
        await stream.write(GOSSIP_FRAMES[name])
        with pytest.raises(StreamBrokenError):
            await stream.read_exact(1)
        assert alice.count("gossip_malformed") == 1
        bob = await join(nursery, "bob", alice.address)
        await bob.mesh.wait_gossiping(alice.key)
        bob.mesh.publish_nowait(b"still gossiping")
        await alice.inbox.wait_heard(b"still gossiping")


async def test_signed_gossip_is_not_delivered(nursery):
    """StrictNoSign: a message with a sequence number or a signature does not reach the node."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        topic = _topic(alice)
        mallory = await stranger(nursery)
        mallory.handle(GOSSIP, _swallow)
        connection = await call(mallory, alice)
        rpc = harden.rpc_pb2.RPC()
        rpc.publish.add(data=b"signed", topicIDs=[topic], seqno=b"1")
        rpc.publish.add(data=b"plain", topicIDs=[topic])
        async with await connection.open_stream(GOSSIP) as stream:
            await stream.write(varint_frame(rpc.SerializeToString()))
            await alice.inbox.wait_heard(b"plain")
    assert alice.inbox.heard == [b"plain"]


async def test_a_second_gossip_stream_is_refused(nursery):
    """One connection has one gossip stream each way."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        mallory = await stranger(nursery)
        mallory.handle(GOSSIP, _swallow)
        connection = await call(mallory, alice)
        first = await connection.open_stream(GOSSIP)
        rpc = harden.rpc_pb2.RPC()
        rpc.publish.add(data=b"first", topicIDs=[_topic(alice)])
        await first.write(varint_frame(rpc.SerializeToString()))
        await alice.inbox.wait_heard(b"first")
        second = await connection.open_stream(GOSSIP)
        with pytest.raises(StreamBrokenError):
            await second.read_exact(1)


async def test_more_streams_than_allowed_are_reset(nursery):
    """Streams beyond the limit of a connection are reset, and those of others are served."""
    with trio.fail_after(20):
        alice = await join(nursery, "alice")
        connection = await call(await stranger(nursery), alice)
        opened = 0
        while not alice.count("streams_refused"):
            try:
                await connection.open_stream("/ipfs/ping/1.0.0")
                opened += 1
            except StreamBrokenError:
                await trio.lowlevel.checkpoint()
        assert 50 < opened <= link.INBOUND_STREAMS_MAX
        await assert_answers(nursery, alice)


MUXER_FRAMES = {
    "random": os.urandom(600),
    "huge": struct.pack("!BBHII", 0, 0, 1, 1001, 0xFFFFFFF0) + b"x" * 1000,
    "streams": b"".join(struct.pack("!BBHII", 0, 1, 1, 10001 + 2 * number, 0) for number in range(3000)),
    "goodbye": struct.pack("!BBHII", 0, 3, 0, 0, 1),
}


@pytest.mark.parametrize("name", MUXER_FRAMES)
async def test_garbage_for_the_muxer(nursery, name):
    """Frames that are no Yamux, too large, or open thousands of streams harm only their connection."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        connection = await call(await stranger(nursery), alice)
        await connection._muxer.secured_conn.write(MUXER_FRAMES[name])
        await assert_answers(nursery, alice)


async def test_unread_bytes_are_bounded(nursery, monkeypatch):
    """A peer that sends beyond its window what nobody reads loses its connection."""
    monkeypatch.setattr(harden, "UNREAD_BYTES_MAX", 1 << 20)
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        alice.inbox.response = _never
        connection = await call(await stranger(nursery), alice)
        stream = await connection.open_stream("/p2pverify/ask/1")
        stream._muxed.send_window = 1 << 30
        with pytest.raises(StreamBrokenError):
            await stream.write(b"\0\0\0\0" * (1 << 20))
        await connection.closed.wait()
        alice.inbox.response = None
        await assert_answers(nursery, alice)


async def test_a_peer_that_does_not_read_is_dropped(nursery, monkeypatch):
    """A write that a peer stalls ends that connection after its time, and no other."""
    monkeypatch.setattr(harden.Muxer, "write_seconds_max", 0.2)
    with trio.fail_after(15):
        alice, mallory = await _stalled(nursery)
        await alice.mesh.wait_disconnected(mallory.peer)
        await assert_answers(nursery, alice)


async def test_leaving_does_not_wait_for_a_peer_that_does_not_read(nursery):
    """A peer that stalls our writes delays the end by a second or two at most."""
    with trio.fail_after(15):
        alice, _ = await _stalled(nursery)
        with trio.fail_after(3):
            await alice.leave()


async def _stalled(nursery):
    """A peer in the middle of long writes to a stranger, who has stopped reading."""
    answered = trio.Event()

    async def respond(request, source):
        if request != b"a lot":
            return b"echo " + request
        answered.set()
        return b"x" * 200_000

    async def read_nothing(size=None):
        await trio.sleep_forever()

    limits = RequestLimits(per_peer_max=60, total_max=60)
    alice = await join(nursery, "alice", inbox=FakeInbox(response=respond), request_limits=limits)
    mallory = await stranger(nursery)
    mallory.handle("/p2pverify/peers/1", introduce)
    connection = await call(mallory, alice)
    await alice.mesh.wait_connected(mallory.peer)
    streams = [await connection.open_stream("/p2pverify/ask/1") for _ in range(50)]
    connection._muxer.secured_conn.conn.read_writer.read_write_closer.read = read_nothing
    for stream in streams:
        await write_frame(stream, b"a lot")
    await answered.wait()
    await trio.testing.wait_all_tasks_blocked(0.05)
    return alice, mallory


@pytest.mark.parametrize("frame", [b"", b"\x80", b"\x83\x41x\x80\x80", os.urandom(300), b"\xff" * 40])
async def test_malformed_peer_lists(nursery, frame):
    """A peer list that is none resets its stream."""
    with trio.fail_after(10):
        alice = await join(nursery, "alice")
        connection = await call(await stranger(nursery), alice)
        stream = await connection.open_stream("/p2pverify/peers/1")
        await stream.write(len(frame).to_bytes(4, "big") + frame)
        with pytest.raises(StreamBrokenError):
            await stream.read_exact(1)
        assert alice.count("streams_malformed") == 1
        await assert_answers(nursery, alice)


async def _swallow(stream):
    while await stream.read_some():
        pass


async def _never(request, source):
    await trio.sleep_forever()


def _topic(peer):
    return peer.mesh._gossip._topic
