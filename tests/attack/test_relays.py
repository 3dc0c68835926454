"""Attacks on the node as a relay, and on dial-back. Their limits are tested in `tests/net`."""

import os

import pytest
import trio

from p2pverify.net.border.framing import read_frame, read_varint_frame, varint_frame, write_frame
from p2pverify.net.border.harden import circuit_pb2
from p2pverify.net.border.stream import StreamBrokenError
from p2pverify.net.circuit.messages import (
    HOP,
    MESSAGE_BYTES_MAX,
    STOP,
    CircuitStatus,
    HopRequest,
    decode_hop_answer,
    encode_hop_answer,
    encode_hop_request,
    encode_stop_request,
)
from p2pverify.net.reach.dialback import ANSWER_BYTES, DIALBACK, DIALLED, REFUSED, encode_dialback
from tests.attack.enemy import Stranger, stranger
from tests.attack.live import PATIENCE_S, Live

MESSAGES = {
    "nothing": b"\x00",
    "random bytes": varint_frame(os.urandom(400)),
    "longer than allowed": varint_frame(bytes(MESSAGE_BYTES_MAX + 1)),
    "a length without end": b"\xff" * 12,
    "a peer of another kind of key": varint_frame(
        circuit_pb2.HopMessage(
            type=circuit_pb2.HopMessage.CONNECT, peer=circuit_pb2.PeerId(id=b"\x12\x20" + bytes(32))
        ).SerializeToString()
    ),
    "a status instead of a request": varint_frame(encode_hop_answer(CircuitStatus.OK)),
}


async def _status(mallory: Stranger, message: bytes) -> int:
    async with await mallory.link.open_stream(HOP) as stream:
        await stream.write(message)
        return decode_hop_answer(await read_varint_frame(stream, MESSAGE_BYTES_MAX) or b"").status


@pytest.mark.parametrize("name", MESSAGES)
async def test_messages_of_circuits_that_are_none(live: Live, name: str) -> None:
    """They are answered as malformed, and end their stream only."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            assert await _status(mallory, MESSAGES[name]) == CircuitStatus.MALFORMED_MESSAGE
    await live.survives("net relay_refused_malformed_message")


async def test_circuits_to_whom_nobody_reserved(live: Live) -> None:
    """The node leads to no peer that it happens to know, and not to itself."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            for target in (live.node.key, live.neighbour.key, mallory.host.peer):
                request = varint_frame(encode_hop_request(HopRequest(target)))
                assert await _status(mallory, request) == CircuitStatus.NO_RESERVATION
    await live.survives("net relay_refused_no_reservation")


async def test_a_flood_of_reservations(live: Live) -> None:
    """One peer has one reservation, and a rate."""
    request = varint_frame(encode_hop_request(HopRequest(None)))
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            statuses = [await _status(mallory, request) for _ in range(100)]
            assert live.node.mesh.reach().serves == 1
    assert CircuitStatus.RESOURCE_LIMIT_EXCEEDED in statuses
    await live.survives("net relay_refused_resource_limit_exceeded")


async def test_circuits_that_nobody_asked_for(live: Live) -> None:
    """A peer that plays a relay cannot bring connections to a node that has not reserved there."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory, await mallory.link.open_stream(STOP) as stream:
            await stream.write(varint_frame(encode_stop_request(live.neighbour.key, 120, 1024)))
            assert await read_varint_frame(stream, MESSAGE_BYTES_MAX)
            assert await stream.read_some() == b""
    await live.survives("net circuits_refused")


async def test_dial_back_of_strangers(live: Live) -> None:
    """The node dials nobody for a peer that has not shown its network, and takes no nonce that it did not send."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            for _ in range(3):
                async with await mallory.link.open_stream(DIALBACK) as stream:
                    await write_frame(stream, encode_dialback(bytes(16), 22))
                    assert (await read_frame(stream, ANSWER_BYTES))[:1] == REFUSED
            async with await mallory.link.open_stream(DIALLED) as stream:
                await write_frame(stream, bytes(16))
                with pytest.raises(StreamBrokenError):
                    await stream.read_exact(1)
    await live.survives("net dialbacks_refused", "net dialbacks_unasked")
