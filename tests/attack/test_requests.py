"""Attacks by requests: forged, stale, repeated, too many at once, and from non-members."""

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Receipt,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
    encode_answer,
    encode_request,
    salted_digest,
    sign_request,
)
from p2pverify.engine.toy import ToyEngine
from p2pverify.net import adapter
from p2pverify.net.border.framing import read_frame, write_frame
from p2pverify.net.protocols.requests import TOKENS, RequestLimits
from p2pverify.node.ports import AskError, Generated, Hear, unheard
from p2pverify.node.requests.asking import ask_streaming
from tests.attack.enemy import insider, read_all, stranger
from tests.attack.live import PATIENCE_S, Live, until
from tests.net.real_peers import seed_of

ASK = "/p2pverify/request/2"
SEED = seed_of("mallory")
LONG = 63  # tokens of an answer that takes a while; no other question asks for as many


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


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[Ask]:
    """The long questions that the node's engine has worked on. It takes 10 ms for each token of them."""
    found: list[Ask] = []
    fast = ToyEngine.answer

    def slow(engine: ToyEngine, ask: Ask, hear: Hear = unheard) -> Generated:
        def late(tokens: Sequence[int]) -> None:
            time.sleep(0.01)
            hear(tokens)

        if ask.tokens_max != LONG:
            return fast(engine, ask, hear)
        found.append(ask)
        return fast(engine, ask, late)

    monkeypatch.setattr(ToyEngine, "answer", slow)
    return found


async def test_a_client_that_leaves_in_the_middle(live: Live, answered: list[Ask]) -> None:
    """The engine works once for a question, however often its client breaks off. Then the stored answer streams."""
    asked = replace(question(live), prompt=(1, 7, 2), tokens_max=LONG)
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, link):
            for _ in range(5):
                stream = await link.open_stream(ASK)
                await write_frame(stream, signed(live, asked))
                assert (await read_frame(stream, 10_000))[:1] == TOKENS
                await stream.reset()
            await until(lambda: live.node.count("net asks_abandoned") > 0, "the node notices that mallory has left")
            heard: list[int] = []
            made = request(live, asked)
            data = encode_request(made, asked, sign_request(SEED, made))
            reply = await mesh.ask(live.node.key, data, tokens_max=LONG, hear=heard.extend)
    answer = decode_response(reply.data, made)
    assert tuple(heard) == answer.output.tokens
    assert len(heard) > 10
    assert len(answered) == 1
    await live.survives("driver responses to nobody")


async def test_a_prompt_that_fills_the_context(live: Live) -> None:
    """It is answered. One token more is refused, and a request that no engine here can need is not read."""
    room = ToyEngine().info.context_tokens
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for prompt, code in ((room - 4, None), (room - 3, "prompt-too-long")):
                asked = replace(question(live), prompt=(255,) * prompt)
                made = request(live, asked, expiry_epoch=live.node.epoch + 60)
                data = encode_request(made, asked, sign_request(SEED, made))
                reply = await mesh.ask(live.node.key, data, tokens_max=4)
                if code is None:
                    assert decode_response(reply.data, made).output.tokens
                else:
                    with pytest.raises(RequestRefused, match=code):
                        decode_response(reply.data, made)
            with pytest.raises(AskError, match="too-large"):
                await mesh.ask(live.node.key, bytes(65_537))
    await live.survives("refused prompt-too-long", "net asks_refused_too-large")


async def test_a_client_that_does_not_read(live: Live, answered: list[Ask]) -> None:
    """Its answers wait in their streams, and the neighbour is served meanwhile."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (_, link):
            for _ in range(4):
                stream = await link.open_stream(ASK)
                await write_frame(stream, signed(live, replace(question(live), tokens_max=LONG)))
            await live.is_well()
    await live.survives()


def _lie(tokens: tuple[int, ...], covered: tuple[int, ...], count: int) -> Callable[[bytes, bytes], Awaitable[bytes]]:
    """A response whose receipt is signed, but for the tokens `covered`, and counts `count`."""

    async def respond(data: bytes, _source: bytes) -> bytes:
        asked, _ = decode_request(data)
        digest = Output(covered, "length").digest(asked.question)
        salted = salted_digest(asked.id, asked.responder, 0, digest)
        unsigned = Receipt(asked.network, asked.responder, asked.id, 0, salted, count, 1, 2, 3, bytes(64))
        receipt = replace(unsigned, signature=sign.sign(SEED, unsigned.signed_bytes()))
        return encode_answer(Answer(Output(tokens, "length"), receipt))

    return respond


@pytest.mark.parametrize(
    ("covered", "count", "reason"),
    [
        ((1, 2, 3), 4, "the receipt counts other tokens"),
        ((1, 2), 3, "the receipt is for another answer"),
        ((1, 2, 4), 3, "the receipt is for another answer"),
        ((2, 1, 3), 3, "the receipt is for another answer"),
    ],
)
async def test_a_responder_whose_receipt_does_not_cover_its_stream(
    live: Live, covered: tuple[int, ...], count: int, reason: str
) -> None:
    """The tokens were heard, and are no answer: their number, values and order are checked when the receipt comes."""
    tokens, heard = (1, 2, 3), []
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            mesh._requests._serve = _telling(tokens, _lie(tokens, covered, count))
            node, key = live.node, sign.public_key(SEED)
            manifest = node.context.network.classes[0].manifest
            asked = Question(manifest, (1, 2), 3, 0, bytes(16), node.key)
            made = Request(node.context.network_id, node.key, key, asked.id, os.urandom(32), node.epoch + 8)
            data = encode_request(made, asked, sign_request(node.context.seed, made))
            reply = await ask_streaming(node.mesh, key, data, tokens_max=3, hear=heard.extend)
    assert heard == [1, 2, 3]
    with pytest.raises(DecodeError) as caught:
        decode_response(reply.data, made)
    assert caught.value.reason == reason
    await live.survives()


def _telling(
    tokens: tuple[int, ...], respond: Callable[[bytes, bytes], Awaitable[bytes]]
) -> Callable[[bytes, bytes, Hear], Awaitable[bytes]]:
    async def serve(data: bytes, source: bytes, hear: Hear) -> bytes:
        hear(tokens)
        return await respond(data, source)

    return serve


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
