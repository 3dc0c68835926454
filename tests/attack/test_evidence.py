"""Attacks by requests for evidence: malformed, for missing evidence, too many, and from non-members."""

import os
from functools import partial

import pytest
import trio

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE, encode_evidence_request
from p2pverify.net import adapter
from p2pverify.net.protocols.requests import RequestLimits
from p2pverify.node.ports import AskError
from tests.attack.enemy import insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live, until

EVIDENCE = "/p2pverify/evidence/1"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout for a peer to prove its network is shorter here."""
    monkeypatch.setattr(adapter, "RequestLimits", partial(RequestLimits, confirm_seconds_max=1.0))


def wanted(live: Live, epoch: int = 12) -> bytes:
    return encode_evidence_request(DisputeKey(live.node.key, epoch, 0), 0)


MALFORMED = {
    "nothing": b"",
    "random bytes": os.urandom(200),
    "deeply nested": b"\x81" * 200 + b"\x80",
    "another message": encode(["final"]),
    "the 32nd peer": encode([[bytes(32), 1, 0], 31]),
    "an epoch beyond all": encode([[bytes(32), 2**60, 0], 0]),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_for_evidence(live: Live, name: str) -> None:
    """A malformed request loses its stream."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            with pytest.raises(AskError) as caught:
                await mesh.fetch(live.node.key, MALFORMED[name])
            assert caught.value.reason == "reset"
    await live.survives("net streams_malformed")


async def test_evidence_of_what_is_not_disputed(live: Live) -> None:
    """A slot without a dispute, of this peer or another, has no evidence."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for key in (live.node.key, live.neighbour.key, bytes(32)):
                request = encode_evidence_request(DisputeKey(key, 12, 0), 30)
                assert await mesh.fetch(live.node.key, request) == NO_EVIDENCE
    await live.survives("driver evidence not had")


async def test_a_request_for_evidence_larger_than_allowed(live: Live) -> None:
    """It is refused by its length alone."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            stream = await link.open_stream(EVIDENCE)
            await stream.write((257).to_bytes(4, "big"))
            await stream.finish()
            assert b"too-large" in (await read_all(stream) or b"")
    await live.survives("net evidence_refused_too-large")


async def test_evidence_flood(live: Live) -> None:
    """A peer that opens streams for evidence and stays silent blocks only itself."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, link):
            for _ in range(40):
                await link.open_stream(EVIDENCE)
            refused = partial(live.node.count, "net evidence_refused_busy")
            await until(lambda: refused() > 0, "streams beyond the limit are refused")
            with pytest.raises(AskError) as caught:
                await mesh.fetch(live.node.key, wanted(live))
            assert caught.value.reason == "busy"
            await live.is_well()
    await live.survives()


async def test_strangers_get_no_evidence(live: Live) -> None:
    """A peer that has not proven to belong to the network gets none."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            stream = await mallory.link.open_stream(EVIDENCE)
            data = wanted(live)
            await stream.write(len(data).to_bytes(4, "big") + data)
            await stream.finish()
            assert b"unconfirmed" in (await read_all(stream) or b"")
    await live.survives("net evidence_refused_unconfirmed")
