"""Attacks by requests: forged, stale, repeated, too many at once, and from non-members."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.inference.question import (
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.net import adapter
from p2pverify.net.protocols.requests import RequestLimits
from p2pverify.node.ports import AskError
from tests.attack.enemy import insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live, until
from tests.net.real_peers import seed_of

ASK = "/p2pverify/request/2"
SEED = seed_of("mallory")


def question(live: Live, tokens: int = 3) -> Question:
    manifest = live.node.context.network.classes[0].manifest
    return Question(manifest, tuple(range(1, tokens + 1)), 4, 0, os.urandom(16), sign.public_key(SEED))


def request(live: Live, asked: Question, **changes: Any) -> Request:
    node = live.node
    right = Request(node.context.network_id, asked.requester, node.key, asked.id, os.urandom(32), node.epoch + 8)
    return replace(right, **changes)


def signed(live: Live, asked: Question, **changes: Any) -> bytes:
    made = request(live, asked, **changes)
    return encode_request(made, asked, sign_request(SEED, made))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout for a peer to prove its network is shorter here."""
    monkeypatch.setattr(adapter, "RequestLimits", partial(RequestLimits, confirm_seconds_max=1.0))


REFUSED: dict[str, tuple[str, Callable[[Live, Question], bytes]]] = {
    "random bytes": ("malformed", lambda live, asked: os.urandom(500)),
    "deeply nested": ("malformed", lambda live, asked: b"\x81" * 60_000 + b"\x80"),
    "nothing": ("malformed", lambda live, asked: b""),
    "not signed": ("bad-signature", lambda live, asked: encode_request(request(live, asked), asked, bytes(64))),
    "another's name": (
        "bad-signature",
        lambda live, asked: signed(live, replace(asked, requester=live.neighbour.key)),
    ),
    "key that is no point": ("bad-signature", lambda live, asked: signed(live, replace(asked, requester=b"\xff" * 32))),
    "another network": ("wrong-network", lambda live, asked: signed(live, asked, network=bytes(32))),
    "another responder": ("wrong-responder", lambda live, asked: signed(live, asked, responder=live.neighbour.key)),
    "far past": ("expired", lambda live, asked: signed(live, asked, expiry_epoch=3)),
    "far future": ("bad-expiry", lambda live, asked: signed(live, asked, expiry_epoch=2**60)),
    "another model": ("unknown-model", lambda live, asked: signed(live, replace(asked, manifest=bytes(32)))),
    "tokens outside the vocabulary": ("unknown-token", lambda live, asked: signed(live, question(live, 4096))),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_wrong_requests(live: Live, name: str) -> None:
    """A wrong request gets an answer with the reason."""
    code, make = REFUSED[name]
    asked = question(live)
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            answer = (await mesh.ask(live.node.key, make(live, asked))).data
            with pytest.raises(RequestRefused) as caught:
                decode_response(answer, request(live, asked))
            assert caught.value.code == code
    await live.survives(f"refused {code}")


async def test_replay_of_a_request(live: Live) -> None:
    """The same request gets the same answer each time."""
    asked = question(live)
    made = request(live, asked)
    data = encode_request(made, asked, sign_request(SEED, made))
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            answers = [(await mesh.ask(live.node.key, data, tokens_max=4)).data for _ in range(20)]
    assert len({decode_response(answer, made).output.tokens for answer in answers}) == 1
    await live.survives()


async def test_a_request_larger_than_allowed(live: Live) -> None:
    """It is refused by its length alone."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            stream = await link.open_stream(ASK)
            await stream.write((65_537).to_bytes(4, "big"))
            assert b"too-large" in (await read_all(stream) or b"")
    await live.survives("net asks_refused_too-large")


async def test_request_flood(live: Live) -> None:
    """Of many simultaneous requests of one peer, some are answered and the others refused as busy. The neighbour is
    served."""
    failed: list[str] = []

    async def ask() -> None:
        try:
            await mesh.ask(live.node.key, signed(live, question(live)), tokens_max=4)
        except AskError as error:
            failed.append(error.reason)

    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _), trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
            await live.is_well()
    assert set(failed) <= {"busy", "reset"}
    await live.survives("net asks_refused_busy")


async def test_requests_that_are_never_sent(live: Live) -> None:
    """A peer that opens all its streams for requests and stays silent blocks only itself."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            for _ in range(40):
                await link.open_stream(ASK)
            await until(lambda: live.node.count("net asks_refused_busy") > 0, "streams beyond the limit are refused")
            await live.is_well()
    await live.survives()


async def test_strangers_get_no_answers(live: Live) -> None:
    """A peer that has not proven to belong to the network gets no answer, even to a valid question."""
    with trio.fail_after(PATIENCE_S):
        async with stranger(live.node) as mallory:
            stream = await mallory.link.open_stream(ASK)
            data = signed(live, question(live))
            await stream.write(len(data).to_bytes(4, "big") + data)
            assert b"unconfirmed" in (await read_all(stream) or b"")
    await live.survives("net asks_refused_unconfirmed")
