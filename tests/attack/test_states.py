"""Attacks by peers that ask the node for states."""

import os
from functools import partial

import pytest
import trio

from p2pverify.core.blobs.messages import BlobStatus
from p2pverify.core.encoding.canon import encode
from p2pverify.core.snapshot.messages import (
    LEAVES,
    NEWEST,
    PARTS,
    RECORD,
    STATE_REQUEST_BYTES_MAX,
    StateRequest,
    decode_newest,
)
from p2pverify.net.border.framing import read_frame
from p2pverify.net.protocols import state as state_protocol
from p2pverify.net.protocols.state import PROTOCOL, StateLimits
from p2pverify.node.ports import AskError
from tests.attack.enemy import insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = partial(StateLimits, confirm_seconds_max=1.0, take_seconds_max=1.0)
    monkeypatch.setattr(state_protocol, "StateLimits", limits)


async def serves(live: Live) -> None:
    """The honest neighbour is told which states the node serves."""
    decode_newest(await live.neighbour.mesh.fetch_state(live.node.key, StateRequest(NEWEST)))


MALFORMED = {
    "nothing": b"",
    "random bytes": os.urandom(60),
    "a longer frame": bytes(STATE_REQUEST_BYTES_MAX + 1),
    "no leaves": encode([LEAVES, []]),
    "too many leaves": encode([LEAVES, [bytes(32)] * 400]),
    "a cut that is none": encode([PARTS, "identity.key"]),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_for_states(live: Live, name: str) -> None:
    """A malformed request loses its stream."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            stream = await link.open_stream(PROTOCOL)
            data = MALFORMED[name]
            await stream.write(len(data).to_bytes(4, "big") + data)
            assert await read_all(stream) is None
        await serves(live)
    await live.survives("net streams_malformed")


async def test_states_that_the_node_does_not_serve(live: Live) -> None:
    """Unknown cuts and leaves, and records that are no cuts, are answered with a word."""
    own = live.node.context.ledger.last(live.node.key)
    assert own is not None
    asked = [StateRequest(PARTS, os.urandom(32)), StateRequest(LEAVES, hashes=(os.urandom(32),))]
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for request in (*asked, StateRequest(RECORD, os.urandom(32)), StateRequest(RECORD, own.id)):
                with pytest.raises(AskError) as caught:
                    await mesh.fetch_state(live.node.key, request)
                assert caught.value.reason == "unknown"
        await serves(live)
    await live.survives("net states_refused_unknown")


async def test_a_flood_of_requests_for_states(live: Live) -> None:
    """A peer that opens streams and stays silent blocks only itself."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            streams = [await link.open_stream(PROTOCOL) for _ in range(6)]
            busy = [await read_frame(stream, 10) for stream in streams[2:]]
            assert busy == [bytes([BlobStatus.BUSY])] * 4
            await serves(live)
    await live.survives("net states_refused_busy")


async def test_strangers_get_no_states(live: Live) -> None:
    """Somebody who has not shown the network is refused."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory, await mallory.link.open_stream(PROTOCOL) as stream:
            assert await read_frame(stream, 10) == bytes([BlobStatus.UNCONFIRMED])
        await serves(live)
    await live.survives("net states_refused_unconfirmed")
