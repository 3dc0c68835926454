"""Attacks by cheques: malformed, too large, too many, and to a node that nobody owes anything."""

import os
from functools import partial

import pytest
import trio

from p2pverify.core.encoding.canon import encode
from p2pverify.core.settle.cheques import SignedCheque
from p2pverify.core.settle.exchange import CHEQUE_BYTES_MAX, decode_cheque_answer, encode_cheque
from p2pverify.net.protocols.requests import CHEQUE_PROTOCOL
from p2pverify.node.ports import AskError
from tests.attack.enemy import insider, read_all
from tests.attack.live import PATIENCE_S, Live, until

FORGED = SignedCheque(10_239, 2**40, 2**63 - 1, os.urandom(64))
MALFORMED_CHEQUES = {
    "nothing": b"",
    "random bytes": os.urandom(200),
    "deeply nested": b"\x81" * 200 + b"\x80",
    "an amount beyond all": encode([10_239, 2**40 + 1, 1, bytes(64)]),
    "a negative amount": encode([10_239, -1, 1, bytes(64)]),
    "no amount": encode([10_239, 0, 1, bytes(64)]),
    "a short signature": encode([10_239, 1, 1, bytes(63)]),
}


@pytest.mark.parametrize("name", MALFORMED_CHEQUES)
async def test_malformed_cheques(live: Live, name: str) -> None:
    """A malformed cheque loses its stream."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            with pytest.raises(AskError) as caught:
                await mesh.pay(live.node.key, MALFORMED_CHEQUES[name])
            assert caught.value.reason == "reset"
    await live.survives("net streams_malformed")


async def test_forged_cheques_to_a_node_without_a_tariff(live: Live) -> None:
    """They are answered, and nothing is kept."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for _ in range(5):
                answer = decode_cheque_answer(await mesh.pay(live.node.key, encode_cheque(FORGED)))
                assert (answer.refused, answer.newest, answer.uncovered) == ("no tariff", None, 0)
    await live.survives("cheques refused: no tariff")


async def test_a_cheque_larger_than_allowed(live: Live) -> None:
    """It is refused by its length alone."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            stream = await link.open_stream(CHEQUE_PROTOCOL)
            await stream.write((CHEQUE_BYTES_MAX + 1).to_bytes(4, "big"))
            await stream.finish()
            assert b"too-large" in (await read_all(stream) or b"")
    await live.survives("net cheques_refused_too-large")


async def test_cheque_flood(live: Live) -> None:
    """A peer that opens streams for cheques and stays silent blocks only itself."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            for _ in range(40):
                await link.open_stream(CHEQUE_PROTOCOL)
            refused = partial(live.node.count, "net cheques_refused_busy")
            await until(lambda: refused() > 0, "streams beyond the limit are refused")
    await live.survives("net cheques_refused_busy")
