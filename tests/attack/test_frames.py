"""Malformed, truncated and oversized frames of every protocol of the node, and deeply nested CBOR in them."""

import os

import pytest
import trio

from p2pverify.core.gossip.types import OLD_PROTOCOL_ID, Rpc
from p2pverify.core.gossip.types import PROTOCOL_ID as GOSSIP
from p2pverify.net.border.framing import encode_varint, varint_frame
from p2pverify.net.border.identify_ping import IDENTIFY, PING
from p2pverify.net.border.multistream import encode_message
from p2pverify.net.protocols.rpc_codec import IDS_MAX, encode_rpc
from tests.attack.enemy import gossiper, insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live, until


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def nested(depth: int) -> bytes:
    """Nested arrays of one item."""
    return b"\x81" * depth + b"\x80"


FRAMES = {
    "nothing": b"",
    "half a length": b"\0\0",
    "truncated": b"\0\0\x03\xe8" + b"x" * 10,
    "an empty one": framed(b""),
    "oversized length": b"\xff\xff\xff\xff" + b"x" * 1000,
    "longer than allowed": b"\0\x20\0\0" + b"x" * 1000,
    "random bytes": framed(os.urandom(300)),
    "deeply nested": framed(nested(60_000)),
    "array of 2**64 items": framed(b"\x9b" + b"\xff" * 8),
    "map of 2**64 items": framed(b"\xbb" + b"\xff" * 8),
    "indefinite length": framed(b"\x9f" * 1000),
    "tags": framed(b"\xc0" * 1000),
    "not in shortest form": framed(b"\x98\x00"),
    "right shape and wrong types": framed(b"\x83\xf6\xf6\xf6"),
}
FAULTS = (
    "net streams_malformed",
    "net streams_broken",
    "net asks_refused_too-large",
    "net evidence_refused_too-large",
    "net passports_refused_too-large",
    "refused malformed",
)


@pytest.mark.parametrize("name", FRAMES)
async def test_malformed_frames(live: Live, name: str) -> None:
    """On each of our protocols a malformed frame ends its stream and is counted, without other effects."""
    node = live.node
    ours = [protocol for protocol in node.protocols if protocol not in (GOSSIP, OLD_PROTOCOL_ID, IDENTIFY, PING)]
    assert len(ours) >= 3
    with trio.fail_after(PATIENCE_S):
        async with insider(node) as (_, link):
            for protocol in ours:
                before = sum(node.count(fault) for fault in FAULTS)
                stream = await link.open_stream(protocol)
                await stream.write(FRAMES[name])
                await stream.finish()
                await read_all(stream)
                await until(
                    lambda before=before: sum(node.count(fault) for fault in FAULTS) > before,  # type: ignore[misc]
                    f"a fault of {protocol} is counted",
                )
                await stream.reset()
            assert not link.closed.is_set()
    await live.survives()


@pytest.mark.parametrize("protocol", [IDENTIFY, PING])
async def test_noise_on_basic_protocols(live: Live, protocol: str) -> None:
    """Identify ignores the data, and ping returns it in pieces of 32 bytes. Neither keeps it."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            for data in (b"", os.urandom(31), os.urandom(200), b"\xff" * 100_000):
                stream = await mallory.link.open_stream(protocol)
                await stream.write(data)
                await stream.finish()
                said = await read_all(stream)
                if protocol == PING and said is not None:
                    assert data.startswith(said)
                await stream.reset()
    await live.survives()


PROPOSALS = {
    "unknown": encode_message("/p2pverify/nothing/1") * 20,
    "random bytes": os.urandom(300),
    "endless length": b"\xff" * 20,
    "a long name": b"\xff\x7f" + b"a" * 16_000,
    "empty": b"\0" * 20,
    "list": encode_message("ls") * 20,
}


@pytest.mark.parametrize("name", PROPOSALS)
async def test_malformed_stream_negotiation(live: Live, name: str) -> None:
    """A stream without an agreed protocol is reset."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            muxed = await mallory.link._muxer.open_stream()
            greeting = encode_message("/multistream/1.0.0") if name in ("unknown", "list") else b""
            await muxed.write(greeting + PROPOSALS[name])
            await live.is_well()
    await live.survives("net streams_malformed", logged="broke a protocol")


GOSSIP_FRAMES = {
    "random": varint_frame(os.urandom(200)),
    "truncated protobuf": varint_frame(b"\x12\xff\x01abc"),
    "two mebibytes": encode_varint(2 << 20) + b"x" * 1000,
    "endless length": b"\xff" * 12,
    "not unicode": varint_frame(b"\x0a\x04\x12\x02\xff\xfe"),
    "message without topic": varint_frame(b"\x12\x03\x12\x01x"),
    "message with two topics": varint_frame(b"\x12\x06\x22\x01t\x22\x01t"),
    "too many parts": varint_frame(b"\x0a\x00" * 5000),
    "too many ids": varint_frame(encode_rpc(Rpc(iwant=(b"x",) * (IDS_MAX + 1)))),
    "groups without end": varint_frame(b"\x0b" * 1000),
}


@pytest.mark.parametrize("name", GOSSIP_FRAMES)
async def test_malformed_gossip(live: Live, name: str) -> None:
    """A frame that is no RPC counts against its sender and resets its stream. Gossip with others continues."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.stream.write(GOSSIP_FRAMES[name])
            await mallory.wait_end()
    await live.survives("net gossip_malformed", "net router_rpcs_malformed", logged="broke a protocol")


async def test_truncated_gossip(live: Live) -> None:
    """An incomplete frame ends the stream."""
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            await mallory.stream.write(varint_frame(b"x" * 200)[:100])
            await mallory.stream.finish()
            await mallory.wait_end()
    await live.survives("net streams_broken")
