"""Servers that are no node, send too much, break off, or never end; and what exactly a client sends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from p2pverify.client import (
    AsyncClient,
    Client,
    ClientError,
    NoAnswerError,
    NoMajorityError,
    NoNodeError,
    ParameterError,
    calls,
    replies,
)
from p2pverify.client.replies import ChunkReader, read_reply
from p2pverify.node.reports.documents.jsonform import DocumentError
from tests.client.callers import KINDS, Caller
from tests.client.scripted import http, new_certificate, scripted
from tests.client.serving import in_thread, on

ANSWERER = {
    "index": 0,
    "peer_id": "12D3KooWx",
    "own": False,
    "standing": "trusted",
    "low": 0.8,
    "high": 1.0,
    "audits": 20,
    "class": "main",
    "checked": ["signature"],
}
SAID = {"receipt": "rcpt_1", "answers": [ANSWERER], "panel": {"asked": 3}}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WHOLE: dict[str, Any] = {
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a b"}, "finish_reason": "stop"}],
    "usage": USAGE,
    "p2pverify": SAID,
}
MODELS = http(json.dumps({"data": [{"id": "m"}]}).encode())
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


GONE = {"error": {"message": "the\x1b peer left", "code": "gone"}}
LAST = {"model": "m", "choices": [], "usage": USAGE, "p2pverify": SAID}
STREAM = b"".join(
    [
        event(chunk("a")),
        b": waiting\r\n\r\n",
        event(chunk(" b")),
        event(chunk("", "stop")),
        event(LAST),
        b"data: [DONE]\n\n",
    ]
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_is_sent(kind: str) -> None:
    """Each parameter in its place; nothing for those that are not given; the key in every request."""
    with scripted(MODELS, http(json.dumps(WHOLE).encode())) as server:
        caller = Caller(kind, {"url": f"{server.url}/node/v1", "key": "p2pv-k"})
        bare = await caller.call("ask", "why?")
        full = {"model": "m", "temperature": 0, "max_tokens": 9, "seed": -1, "panel": 5, "every": 10}
        reply = await caller.call("ask", [{"role": "system", "content": "be brief"}], **full)
    models, first, second = server.requests
    assert models.startswith(b"GET /node/v1/models HTTP/1.1\r\n")
    assert first.startswith(b"POST /node/v1/chat/completions HTTP/1.1\r\n")
    assert all(b"\r\nAuthorization: Bearer p2pv-k\r\n" in each for each in server.requests)
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in (first, second)]
    assert bodies[0] == {"model": "m", "messages": [{"role": "user", "content": "why?"}]}
    assert bodies[1] == {
        "model": "m",
        "temperature": 0,
        "max_tokens": 9,
        "seed": -1,
        "messages": [{"role": "system", "content": "be brief"}],
        "p2pverify": {"panel": 5, "every": 10},
    }
    assert bare == reply == read_reply(json.dumps(WHOLE).encode())
    assert (reply.text, reply.said["panel"], reply.answers[0].class_) == ("a b", {"asked": 3}, "main")


async def test_a_stream_is_read_in_whatever_parts_it_comes(kind: str) -> None:
    """Also byte by byte, and with comments between the events."""
    for parts in ([HEAD + STREAM], [HEAD, *(bytes([each]) for each in STREAM)]):
        with scripted(parts) as server:
            pieces, reply = await Caller(kind, {"url": server.url}).read("why?", model="m", every=3)
        assert pieces == ["a", " b"]
        assert reply == read_reply(json.dumps(WHOLE).encode())
        body = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
        assert (body["stream"], body["stream_options"], body["p2pverify"]) == (
            True,
            {"include_usage": True},
            {"every": 3},
        )


async def test_the_answer_of_a_full_check_is_the_returned_one(kind: str) -> None:
    """Other peers of the panel stand before it."""
    panel = [
        {**ANSWERER, "peer_id": "12D3KooWy", "returned": False, "compared": "differs"},
        {**ANSWERER, "returned": True, "compared": "agrees"},
    ]
    found = {**WHOLE, "p2pverify": {**SAID, "answers": panel}}
    refusal = json.dumps({"error": {"message": "2 of 5 agree", "code": "no_majority", "param": None}}).encode()
    refused = http(refusal, "502 Bad Gateway", "x-p2pverify-receipt: rcpt_2")
    with scripted(http(json.dumps(found).encode()), refused) as server:
        caller = Caller(kind, {"url": server.url})
        reply = await caller.call("ask", "why?", model="m", panel=2)
        with pytest.raises(NoMajorityError) as undecided:
            await caller.call("ask", "why?", model="m", panel=2)
    assert (reply.peer_id, reply.answered_by.compared) == (ANSWERER["peer_id"], "agrees")
    assert [one.compared for one in reply.answers] == ["differs", "agrees"]
    assert undecided.value.receipt == "rcpt_2"


def test_every_split_of_a_stream_gives_the_same() -> None:
    for at in range(len(STREAM)):
        reader = ChunkReader()
        assert "".join([*reader.feed(STREAM[:at]), *reader.feed(STREAM[at:])]) == "a b"
        assert reader.end().text == "a b"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([b""], "broke"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], "not a p2pverify node"),
        (http(b"<html>"), "no p2pverify node of this version: not JSON"),
        (http(b"[" * 100_000), "no p2pverify node of this version: not JSON"),
        (http(b"{}"), "no p2pverify node of this version: _Completion without 'model'"),
        (http(json.dumps({**WHOLE, "choices": []}).encode()), "without a choice"),
        (http(json.dumps({**WHOLE, "p2pverify": {**SAID, "answers": []}}).encode()), "an answer of nobody"),
        (http(json.dumps({**WHOLE, "usage": {"prompt_tokens": -1}}).encode()), "not within its bounds"),
        ([http(json.dumps(WHOLE).encode())[0][:-5]], "broke"),
        (http(b"", "302 Found", "Location: http://127.0.0.1:1/"), "not a p2pverify node .HTTP status 302"),
        (http(b"<html>", "502 Bad Gateway"), "not a p2pverify node .HTTP status 502"),
        (http(b"x" * 70_000, "500 Internal Server Error"), "not a p2pverify node"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 40_000 + b"\r\n\r\n"], "not a p2pverify node"),
    ],
)  # fmt: skip
async def test_what_is_no_answer(kind: str, answer: list[bytes], message: str) -> None:
    with scripted(answer) as server, pytest.raises(NoNodeError, match=message):
        await Caller(kind, {"url": server.url}).call("ask", "why?", model="m")


@pytest.mark.parametrize(
    ("stream", "error", "message"),
    [
        (event(chunk("a")), NoNodeError, "broke off before its end"),
        (event(chunk("a")) + b"data: [DONE]\n\n", NoNodeError, "does not say who answered"),
        (b"data: [DONE]\n\n", NoNodeError, "does not say who answered"),
        (event([]), NoNodeError, "no object"),
        (event({"model": "m"}), NoNodeError, "without choices"),
        (event(chunk(7)), NoNodeError, "not of type str"),  # type: ignore[arg-type]
        (b"data: {\n\n", NoNodeError, "not JSON"),
        (event(chunk("a")) + event(GONE), NoAnswerError, "the  peer left"),
        (event({"error": {"message": "3 of 5 agree", "code": "no_majority"}}), NoMajorityError, "3 of 5 agree"),
        (event({"error": {}}), NoAnswerError, "the answer broke off"),
    ],
)  # fmt: skip
async def test_what_is_no_stream(kind: str, stream: bytes, error: type[ClientError], message: str) -> None:
    with scripted([HEAD, stream]) as server, pytest.raises(error, match=message):
        await Caller(kind, {"url": server.url}).read("why?", model="m")


async def test_a_server_cannot_send_more_than_the_limits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer, a stream, and one event of a stream. The client leaves at once."""
    monkeypatch.setattr(calls, "ANSWER_BYTES_MAX", 1000)
    monkeypatch.setattr(calls, "STREAM_BYTES_MAX", 300_000)
    monkeypatch.setattr(replies, "EVENT_BYTES_MAX", 500)

    def endless(part: bytes) -> Iterator[bytes]:
        yield HEAD
        while True:
            yield part

    for ask, part, message in (
        (partial(Caller.call, name="ask"), b" ", "more than 1000 bytes"),
        (Caller.read, event(chunk("a")), "more than 300000 bytes"),
        (Caller.read, b"data: " + b" " * 100, "too long an event"),
    ):
        with scripted(endless(part)) as server:
            caller = Caller(kind, {"url": server.url})
            with pytest.raises(NoNodeError, match=message):
                await ask(caller, messages="why?", model="m")
            assert await in_thread(partial(server.left.wait, 20))


async def test_a_client_that_stops_reading_closes_the_connection(kind: str) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD
        while True:
            yield event(chunk("a"))

    with scripted(endless()) as server:
        pieces, reply = await Caller(kind, {"url": server.url}).read("why?", model="m", stop_after=3)
        assert (pieces, reply) == (["a"] * 3, None)
        assert await in_thread(partial(server.left.wait, 20))


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
async def test_a_cancelled_call_closes_the_connection(backend: str) -> None:
    def slow() -> Iterator[bytes]:
        yield HEAD
        while True:
            trio.run(trio.sleep, 0.02)
            yield event(chunk("a"))

    async def read() -> None:
        with anyio.CancelScope() as scope:
            async with AsyncClient(url=server.url).stream("why?", model="m") as pieces:
                async for _ in pieces:
                    scope.cancel()
        assert scope.cancelled_caught

    with scripted(slow()) as server:
        await on(backend, read)
        assert await in_thread(partial(server.left.wait, 20))


def test_a_slow_server_does_not_extend_the_time() -> None:
    """Each part comes quickly, but all together take too long."""

    def slow() -> Iterator[bytes]:
        yield HEAD
        for _ in range(100):
            trio.run(trio.sleep, 0.05)
            yield event(chunk("a"))

    with scripted(slow()) as server:
        client = Client(url=server.url, timeout_s=0.5)
        with pytest.raises(TimeoutError), client.stream("why?", model="m") as pieces:
            list(pieces)
        with pytest.raises(TimeoutError):
            Client(url=server.url, timeout_s=0).ask("why?")


async def test_messages_of_a_server_are_one_line_of_limited_length(kind: str) -> None:
    error = {"error": {"message": "a\n\x1b[2J" + "b" * 5000, "code": "c" * 5000, "param": "p"}}
    answer = http(json.dumps(error).encode(), "400 Bad Request")
    with scripted(answer) as server, pytest.raises(ParameterError) as refused:
        await Caller(kind, {"url": server.url}).call("ask", "why?", model="m")
    assert refused.value.reason.isprintable()
    assert (len(refused.value.reason), len(refused.value.code), refused.value.param) == (1000, 1000, "p")


async def test_the_certificate_of_a_server_is_checked(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = new_certificate(tmp_path)
    answer = http(json.dumps(WHOLE).encode())
    with scripted(answer, tls=context) as server:
        caller = Caller(kind, {"url": server.url, "key": "p2pv-k"})
        with pytest.raises(NoNodeError, match=r"(?i)certificate.verify.failed"):
            await caller.call("ask", "why?", model="m")
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await caller.call("ask", "why?", model="m")).text == "a b"


def test_readers_refuse_other_forms() -> None:
    for body in (b'{"data":[]}', b"{}", b"\xff"):
        with pytest.raises(DocumentError):
            replies.read_model(body)


def test_importing_it_is_quick() -> None:
    """It imports no engine, no network, no web framework and no async library that the program does not use."""
    code = """
import sys, time
import p2pverify.client
heavy = {"numpy", "libp2p", "trio", "asyncio", "pydantic", "fastapi", "click", "xllamacpp", "sqlite3", "cbor2", "nacl"}
print(sorted(heavy & sys.modules.keys()), time.process_time())
"""
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.rsplit(" ", 1)
        for _ in range(3)
    ]
    assert {heavy for heavy, _ in found} == {"[]"}
    assert min(float(seconds) for _, seconds in found) < 0.3
