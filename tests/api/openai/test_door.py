"""OpenAI's API over real sockets, with real peers behind it: answers, streams, keys, and clients that misbehave."""

import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pverify.api import connections
from p2pverify.api.openai import routes
from p2pverify.api.openai.requests import CHOICES_MAX
from p2pverify.api.server import serve, serve_gateway
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.clients import asking, line
from p2pverify.node.clients.desk import LOCAL, PLACES_MAX
from p2pverify.node.ports import AskError
from p2pverify.node.reports.documents.jsonform import parse, written
from p2pverify.node.reports.documents.receipt import ReceiptDocument, ReceiptEvents
from p2pverify.store.clients.keys import StoredKeys
from tests.api.fakes import TOKEN, FakeReports, NoOrders
from tests.support.doors import DoorBench, grown_world, open_door

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MODEL = "world"
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "why?"}], "seed": 7, "max_tokens": 40}
JSON = ("Content-Type", "application/json")


@dataclass
class Reply:
    """An answer: its status, headers, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def events(self) -> list[object]:
        """The values of a stream."""
        lines = self.body.decode().split("\n\n")
        assert lines[-1] == ""
        assert lines[-2] == "data: [DONE]"
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


@dataclass
class Served:
    """A door that listens at two ports: the local API, and the gateway."""

    bench: DoorBench
    url: str
    gateway: str
    keys: StoredKeys
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def ask(self, path: str, body: object = None, *, headers: tuple[tuple[str, str], ...] = (JSON,),
                  gateway: bool = False, method: str | None = None) -> Reply:  # fmt: skip
        """One request from a thread. A body that is bytes is sent as it is."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        port = int((self.gateway if gateway else self.url).rsplit(":", 1)[1])

        def send() -> Reply:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                verb = method or ("GET" if data is None else "POST")
                connection.putrequest(verb, path)
                for name, value in headers:
                    connection.putheader(name, value)
                if data is not None:
                    connection.putheader("Content-Length", str(len(data)))
                connection.endheaders(data)
                answer = connection.getresponse()
                names = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(answer.status, names, answer.read())
            finally:
                connection.close()

        return await trio.to_thread.run_sync(send, abandon_on_cancel=True)


@pytest.fixture(scope="module")
def world():
    return grown_world()


@asynccontextmanager
async def listening(bench: DoorBench, folder) -> AsyncIterator[Served]:
    keys = StoredKeys(folder / "clients.db")
    async with trio.open_nursery() as nursery:
        local = partial(
            serve,
            FakeReports(),
            bind="127.0.0.1:0",
            token=TOKEN,
            home_key=bytes(32),
            orders=NoOrders(),
            door=bench.door,
        )
        url = await nursery.start(local)
        gateway = await nursery.start(partial(serve_gateway, bench.door, keys, bind="127.0.0.1:0"))
        yield Served(bench, url, gateway, keys, folder)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def served(tmp_path, world):
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as bench, listening(bench, tmp_path) as found:
            yield found


async def going(served: Served, count: int) -> None:
    """Wait until so many orders are being answered."""
    while len(served.bench.door._open) != count:  # noqa: ASYNC110 - the door tells nobody
        await trio.sleep(0.01)


async def test_a_chat_is_answered(served):
    """OpenAI's form; who answered is in the body, and the receipt's id in a header."""
    reply = await served.ask(CHAT, ASKED)
    assert reply.status == 200
    body = reply.json
    choice = body["choices"][0]
    assert (body["object"], body["model"], choice["index"]) == ("chat.completion", MODEL, 0)
    assert choice["message"]["role"] == "assistant"
    tokens = body["usage"]["completion_tokens"]
    assert choice["finish_reason"] == ("length" if tokens == 40 else "stop")
    assert len(choice["message"]["content"]) in (tokens, tokens - 1)
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": tokens, "total_tokens": 6 + tokens}
    said = body["p2pverify"]
    assert said["receipt"] == reply.headers["x-p2pverify-receipt"]
    assert said["answers"][0]["peer_id"] == peer_id(served.bench.network.asked[-1])
    assert (said["answers"][0]["standing"], said["answers"][0]["own"]) == ("trusted", False)
    assert (await served.ask(CHAT, ASKED)).json["choices"] == body["choices"]


async def test_a_stream_says_the_same(served):
    """Its parts make up the plain answer. The role comes first; the counts and who answered come last."""
    plain = (await served.ask(CHAT, {**ASKED, "n": 2})).json
    reply = await served.ask(CHAT, {**ASKED, "n": 2, "stream": True, "stream_options": {"include_usage": True}})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-p2pverify-receipt"] == reply.events[-1]["p2pverify"]["receipt"]
    texts, ends = ["", ""], {}
    for chunk in reply.events[:-1]:
        assert chunk["object"] == "chat.completion.chunk"
        assert "p2pverify" not in chunk
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            ends[choice["index"]] = choice["finish_reason"]
    assert texts == [choice["message"]["content"] for choice in plain["choices"]]
    assert [ends[index] for index in (0, 1)] == [choice["finish_reason"] for choice in plain["choices"]]
    assert reply.events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (reply.events[-1]["choices"], reply.events[-1]["usage"]) == ([], plain["usage"])
    bare = await served.ask(CHAT, {**ASKED, "stream": True})
    assert bare.events[-1]["choices"][0]["finish_reason"]
    assert bare.events[-1]["p2pverify"]["answers"]


async def test_a_stream_passes_tokens_on_as_they_come(served, monkeypatch):
    """Each piece of a peer's answer is sent before the next one has arrived."""
    said: list[int] = []

    class SlowPieces(line.AnswerLine):
        """An answer of which each further piece comes when the client has read the one before."""

        async def ask(self, hear):
            exchanged = await super().ask(lambda _: None)
            tokens = exchanged.answer.output.tokens
            for count, at in enumerate(range(0, len(tokens), 5)):
                while len(said) < count:  # noqa: ASYNC110 - the client is another task of this test
                    await trio.sleep(0.01)
                hear(tokens[at : at + 5])
            return exchanged

    whole = (await served.ask(CHAT, ASKED)).json["choices"][0]["message"]["content"]
    monkeypatch.setattr(asking, "AnswerLine", SlowPieces)
    body = json.dumps({**ASKED, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
    text, buffered = "", b""
    async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        async for data in stream:
            buffered += data
            *events, buffered = buffered.split(b"\n\n")
            for event in events:
                _, _, value = event.partition(b"data: {")
                for choice in json.loads(b"{" + value)["choices"] if value else ():
                    if choice["delta"].get("content"):
                        text += choice["delta"]["content"]
                        said.append(len(text))
    assert text == whole
    assert len(said) >= len(whole) // 5


async def test_completions_of_texts_and_tokens(served):
    """A text and its tokens have the same continuation; several prompts have an answer each."""
    usual = {"model": MODEL, "seed": 3, "max_tokens": 20}
    text = (await served.ask(COMPLETIONS, {**usual, "prompt": "once"})).json
    assert text["object"] == "text_completion"
    assert (await served.ask(COMPLETIONS, {**usual, "prompt": [*b"once"]})).json["choices"] == text["choices"]
    several = (await served.ask(COMPLETIONS, {**usual, "prompt": ["once", "upon"], "n": 2})).json
    assert [choice["index"] for choice in several["choices"]] == [0, 1, 2, 3]
    assert several["choices"][0]["text"] == text["choices"][0]["text"]
    assert several["usage"]["prompt_tokens"] == 8
    short = (await served.ask(COMPLETIONS, {"model": MODEL, "prompt": "a", "temperature": 0})).json
    assert short["usage"]["completion_tokens"] <= 16
    stream = await served.ask(COMPLETIONS, {**usual, "prompt": "once", "stream": True})
    assert "".join(chunk["choices"][0]["text"] for chunk in stream.events) == text["choices"][0]["text"]
    for prompt, code in (([256], "invalid_value"), ([1] * 9000, "context_length_exceeded"), ("", "empty_prompt")):
        refused = await served.ask(COMPLETIONS, {**usual, "prompt": prompt})
        assert (refused.status, refused.error["param"], refused.error["code"]) == (400, "prompt", code)
    many = await served.ask(COMPLETIONS, {**usual, "prompt": ["a"] * CHOICES_MAX, "n": 2})
    assert (many.status, many.error["param"]) == (400, "n")


async def test_stop_sequences_end_an_answer(served):
    """In a stream as in a plain answer, and nothing of the sequence is sent."""
    whole = (await served.ask(CHAT, ASKED)).json["choices"][0]["message"]["content"]
    stop = whole[10:13]
    reply = (await served.ask(CHAT, {**ASKED, "stop": [stop]})).json
    assert reply["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["completion_tokens"] == whole.index(stop) + 3
    stream = await served.ask(CHAT, {**ASKED, "stop": stop, "stream": True})
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream.events)
    assert said == whole[: whole.index(stop)]


async def test_logprobs_come_from_the_own_engine(served):
    """They are of each token of the text, the same in a stream, and the answer counts as recomputed."""
    asked = {**ASKED, "logprobs": True}
    body = (await served.ask(CHAT, asked)).json
    (choice,) = body["choices"]
    content = choice["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == choice["message"]["content"]
    assert all(one["logprob"] < 0 and one["bytes"] == [*one["token"].encode()] for one in content)
    assert body["p2pverify"]["answers"][0]["checked"][-1] == "recomputed"
    stream = (await served.ask(CHAT, {**asked, "stream": True})).events
    assert [chunk["choices"][0]["logprobs"] for chunk in stream if chunk["choices"][0]["logprobs"]] == [
        choice["logprobs"]
    ]
    text = (await served.ask(COMPLETIONS, {"model": MODEL, "prompt": "once", "logprobs": 0})).json["choices"][0]
    assert "".join(text["logprobs"]["tokens"]) == text["text"]
    assert text["logprobs"]["text_offset"] == list(range(len(text["text"])))
    plain = (await served.ask(CHAT, ASKED)).json
    assert plain["choices"][0]["logprobs"] is None
    assert "recomputed" not in plain["p2pverify"]["answers"][0]["checked"]
    served.bench.door.own.info = replace(served.bench.door.own.info, can=frozenset({"generate"}))
    refused = await served.ask(CHAT, asked)
    assert (refused.status, refused.error["param"], refused.error["code"]) == (400, "logprobs", "unsupported_parameter")


async def test_an_answer_that_this_node_computes_otherwise_is_told(served):
    """A peer of the own class that signs another model's answer."""
    for peer in served.bench.others:
        served.bench.engines[peer]._weights = bytes(32)
    body = (await served.ask(CHAT, {**ASKED, "seed": 5150, "logprobs": True})).json
    assert body["p2pverify"]["answers"][0]["checked"][-1] == "differs"


async def test_models(served):
    listed = (await served.ask("/v1/models")).json
    (model,) = listed["data"]
    assert (model["p2pverify"]["here"], model["p2pverify"]["peers"]) == (True, 5)
    assert (listed["object"], model["id"], model["object"]) == ("list", MODEL, "model")
    assert (await served.ask("/v1/models/world")).json == model
    digest = model["p2pverify"]["manifest"]
    assert (await served.ask(f"/v1/models/{digest}")).json == model
    assert (await served.ask(CHAT, {**ASKED, "model": digest})).status == 200
    for reply in (await served.ask("/v1/models/gpt-9"), await served.ask(CHAT, {**ASKED, "model": "gpt-9"})):
        assert (reply.status, reply.error["param"], reply.error["code"]) == (404, "model", "model_not_found")


async def test_receipts_and_their_events(served):
    """The document fits its schema, and the events come as a list or as a stream."""
    receipt = (await served.ask(CHAT, ASKED)).headers["x-p2pverify-receipt"]
    reply = await served.ask(f"/v1/receipts/{receipt}")
    document = parse(ReceiptDocument, reply.body)
    assert written(document) == reply.json
    assert (document.id, document.state) == (receipt, "answered")
    events = await served.ask(f"/v1/receipts/{receipt}/events")
    assert parse(ReceiptEvents, events.body).events == document.events
    stream = await served.ask(f"/v1/receipts/{receipt}/events", headers=(("Accept", "text/event-stream"),))
    names = [line.removeprefix("event: ") for line in stream.body.decode().splitlines() if line.startswith("event")]
    assert names == ["asked", "answered", "checked", "end"]
    for path in ("/v1/receipts/rcpt_0", "/v1/receipts/rcpt_0/events", "/v1/receipts/%00", "/v1/receipts/" + "x" * 900):
        missing = await served.ask(path)
        assert (missing.status, missing.error["code"]) == (404, "no_such_receipt")


async def test_events_come_while_an_order_is_answered(served):
    """A stream of events ends with the order."""
    gate = trio.Event()
    network = served.bench.network
    real = network.ask

    async def wait(peer, request, **more):
        await gate.wait()
        return await real(peer, request, **more)

    network.ask = wait
    replies: list[Reply] = []

    async def follow(receipt: str) -> None:
        replies.append(await served.ask(f"/v1/receipts/{receipt}/events", headers=(("Accept", "text/event-stream"),)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.ask, CHAT, {**ASKED, "seed": 99})
        await going(served, 1)
        (receipt,) = served.bench.door._open
        nursery.start_soon(follow, receipt)
        assert (await served.ask(f"/v1/receipts/{receipt}")).json["state"] == "asking"
        gate.set()
    assert replies[0].body.decode().endswith('"state":"answered"}\n\n')
    assert replies[0].body.decode().count("event: ") == 4


async def test_the_gateway_needs_a_key(served):
    """Without a valid one there is nothing, not even a path. A key reads its own receipts only."""
    alice, _ = served.keys.add("alice", per_minute=60, at_once=4)
    bob, bobs = served.keys.add("bob", per_minute=2, at_once=4)
    bearer = {name: (JSON, ("Authorization", f"Bearer {key}")) for name, key in (("alice", alice), ("bob", bob))}
    for path, body in ((CHAT, ASKED), (COMPLETIONS, {}), ("/v1/models", None), ("/v1/receipts/x", None)):
        for headers in ((), (("Authorization", "Bearer p2pv-wrong"),), (("Authorization", f"Basic {alice}"),),
                        (("Authorization", f"Bearer {alice}"), ("Authorization", f"Bearer {alice}"))):  # fmt: skip
            reply = await served.ask(path, body, headers=(JSON, *headers), gateway=True)
            assert (reply.status, reply.error["type"]) == (401, "authentication_error")
    for path in ("/v1/status", "/v1/scores", "/metrics", "/livez", "/openapi.json", "/v1/leave"):
        reply = await served.ask(path, headers=bearer["alice"], gateway=True)
        assert (reply.status, reply.error["code"]) == (404, "not_found")
    reply = await served.ask(CHAT, ASKED, headers=(*bearer["alice"], ("Origin", "http://a.example")), gateway=True)
    receipt = reply.headers["x-p2pverify-receipt"]
    assert (await served.ask(f"/v1/receipts/{receipt}", headers=bearer["alice"], gateway=True)).status == 200
    assert (await served.ask(f"/v1/receipts/{receipt}", headers=bearer["bob"], gateway=True)).status == 404
    assert (await served.ask(f"/v1/receipts/{receipt}")).status == 404
    for expected in (200, 200, 429):
        reply = await served.ask(CHAT, ASKED, headers=bearer["bob"], gateway=True)
        assert reply.status == expected
    assert reply.error["code"] == "rate_limit_exceeded"
    assert int(reply.headers["retry-after"]) >= 1
    served.keys.revoke(bobs.id)
    assert (await served.ask("/v1/models", headers=bearer["bob"], gateway=True)).status == 401


async def test_clients_of_this_machine_may_need_a_key_too(served):
    """Then the local API's other routes still need none."""
    key, _ = served.keys.add("alice", per_minute=60, at_once=4)
    run = partial(serve, FakeReports(), bind="127.0.0.1:0", token=TOKEN, home_key=bytes(32), orders=NoOrders())
    async with trio.open_nursery() as nursery:
        strict = replace(served, url=await nursery.start(partial(run, door=served.bench.door, keys=served.keys)))
        assert (await strict.ask(CHAT, ASKED)).status == 401
        assert (await strict.ask(CHAT, ASKED, headers=(JSON, ("Authorization", f"Bearer {key}")))).status == 200
        assert (await strict.ask("/v1/status")).status == 200
        nursery.cancel_scope.cancel()


async def test_a_busy_node_says_when_to_come_back(served):
    network, door = served.bench.network, served.bench.door
    for peer in served.bench.others:
        network.faults[peer] = None
    places = door._desk.take(LOCAL, PLACES_MAX, 0)
    reply = await served.ask(CHAT, ASKED)
    assert (reply.status, reply.error["code"], int(reply.headers["retry-after"]) > 0) == (503, "busy", True)
    places.leave()
    for peer in served.bench.others:
        network.faults[peer] = AskError("busy")

    def fail() -> None:
        raise ValueError("no such token")

    served.bench.engines[served.bench.own].gate = fail
    for stream in (False, True):
        reply = await served.ask(CHAT, {**ASKED, "seed": 4711, "stream": stream})
        assert (reply.status, reply.error["code"]) == (503, "no_answer")
        receipt = reply.headers["x-p2pverify-receipt"]
        assert (await served.ask(f"/v1/receipts/{receipt}")).json["state"] == "failed"


async def test_an_answer_whose_receipt_cannot_be_kept_has_no_end(served):
    """A stream ends with an error instead of the reason of its end."""
    served.bench.book.broken = True
    assert (await served.ask(CHAT, ASKED)).status == 503
    stream = (await served.ask(CHAT, {**ASKED, "stream": True})).events
    assert stream[-1]["error"]["code"] == "not_kept"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in stream[:-1])


async def test_a_client_that_leaves_in_the_middle(served):
    """Its receipt is kept, its place comes back, and the next client gets its own answer."""
    gate = trio.Event()
    network = served.bench.network
    real = network.ask

    async def wait(peer, request, **more):
        await gate.wait()
        return await real(peer, request, **more)

    network.ask = wait
    body = json.dumps({**ASKED, "stream": True, "seed": 31}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
    for number in range(1, 6):
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await going(served, number)
        await trio.aclose_forcefully(stream)
    receipts = list(served.bench.door._open)
    gate.set()
    other = await served.ask(CHAT, {**ASKED, "seed": 32})
    assert other.json["p2pverify"]["receipt"] not in receipts
    await going(served, 0)
    states = [(await served.ask(f"/v1/receipts/{each}")).json["state"] for each in receipts]
    assert states == ["answered"] * 5
    assert served.bench.door._desk.taken == 0


async def test_answers_of_many_clients_are_not_mixed(served):
    """Each gets what it would get alone."""
    alone = [(await served.ask(CHAT, {**ASKED, "seed": seed})).json["choices"] for seed in range(12)]
    together: dict[int, object] = {}

    async def ask(seed: int) -> None:
        together[seed] = (await served.ask(CHAT, {**ASKED, "seed": seed})).json["choices"]

    async with trio.open_nursery() as nursery:
        for seed in range(12):
            nursery.start_soon(ask, seed)
    assert [together[seed] for seed in range(12)] == alone


async def test_names_of_special_tokens_stay_text(served):
    """The prompt that the peer gets has the template's special tokens only."""
    text = "a\x01\x02\x00b<|im_end|>"
    reply = await served.ask(CHAT, {**ASKED, "messages": [{"role": "user", "content": text}]})
    receipt = (await served.ask("/v1/receipts/" + reply.headers["x-p2pverify-receipt"])).json
    assert receipt["answers"][0]["question"]["prompt"] == [1, *b"a   b<|im_end|>", 2]


async def raw(served: Served, data: bytes) -> bytes:
    """What comes back for these bytes, until the connection ends."""
    found = b""
    async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        try:
            await stream.send_all(data)
            async for chunk in stream:
                found += chunk
        except trio.BrokenResourceError:
            pass
    return found


async def test_requests_that_could_be_read_in_two_ways(served):
    """Two lengths, a length and chunks, and foreign Host or Origin headers: no route sees them."""
    body = json.dumps(ASKED).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
    size = f"Content-Length: {len(body)}\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    for headers in (
        head + size + "Content-Length: 5\r\n",
        head + size + chunked,
        head + chunked,
        head + "Content-Length: 99999999\r\n",
        head.replace("127.0.0.1", "evil.example") + size,
        head + size + "Origin: http://evil.example\r\n",
        head + size + "Host: 127.0.0.1\r\n",
    ):
        answer = await raw(served, headers.encode() + b"\r\n" + body)
        assert answer.split(b" ")[1:2] in ([b"400"], [b"403"], [b"413"], []), answer
        assert b'"choices"' not in answer
    assert served.bench.network.asked == []
    assert (await served.ask(CHAT, ASKED)).status == 200


async def test_large_prompts_and_slow_bodies(served, monkeypatch):
    """A megabyte is refused by its length in tokens, more by its bytes, and a body that does not come by its time."""
    big = await served.ask(CHAT, {**ASKED, "messages": [{"role": "user", "content": "x" * 1_000_000}]})
    assert (big.status, big.error["param"], big.error["code"]) == (400, "messages", "context_length_exceeded")
    assert (await served.ask(CHAT, b" " * 3_000_000)).status == 413
    monkeypatch.setattr(routes, "BODY_S", 0.3)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
    assert b" 408 " in await raw(served, f"{head}Content-Length: 50\r\n\r\n{{".encode())


async def test_answers_may_take_longer_than_a_silent_client(served, monkeypatch):
    """A client that waits is not idle. A connection without a request is, and so is one with half a head."""
    monkeypatch.setattr(connections, "IDLE_S", 2)  # longer than it takes to send a request on a busy machine
    network = served.bench.network
    real = network.ask

    async def slow(peer, request, **more):
        await trio.sleep(3)
        return await real(peer, request, **more)

    async def answered(*, stream: bool) -> None:
        reply = await other.ask(CHAT, {**ASKED, "seed": 77, "stream": stream})
        assert reply.status == 200
        assert b'"p2pverify"' in reply.body

    network.ask = slow
    async with listening(served.bench, served.folder) as other, trio.open_nursery() as clients:
        for stream in (False, True):
            clients.start_soon(partial(answered, stream=stream))
        for data in (b"", b"GET /v1/models HTTP/1.1\r\nHo", b"POST /v1/leave HTTP/1.1\r\nContent-Length: 9\r\n\r\n"):
            clients.start_soon(raw, other, data)


async def test_other_kinds_of_body_and_other_methods(served):
    """A page's form cannot be a request, and errors have OpenAI's shape everywhere."""
    for headers in ((), (("Content-Type", "text/plain"),), (("Content-Type", "application/x-www-form-urlencoded"),)):
        reply = await served.ask(CHAT, ASKED, headers=headers)
        assert (reply.status, reply.error["code"]) == (415, "wrong_content_type")
    reply = await served.ask(CHAT)
    assert (reply.status, reply.error["type"]) == (405, "invalid_request_error")
    reply = await served.ask(f"{CHAT}?x=1", ASKED)
    assert (reply.status, reply.error["code"]) == (400, "bad_query")
    assert (await served.ask("/v1/status")).status == 200


async def test_every_route_is_described(served):
    """/openapi.json has the routes for clients, their bodies and their errors."""
    document = (await served.ask("/openapi.json")).json
    chat = document["paths"][CHAT]["post"]
    body = chat["requestBody"]["content"]["application/json"]["schema"]
    assert {"messages", "seed", "stop", "stream_options"} <= body["properties"].keys()
    assert {"200", "400", "401", "429", "503"} <= chat["responses"].keys()
    assert chat["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    receipt = document["paths"]["/v1/receipts/{receipt_id}"]["get"]["responses"]["200"]["content"]
    assert receipt["application/json"]["schema"]["$ref"].endswith("/ReceiptDocument")
    known = set(document["components"]["schemas"])
    text = json.dumps(document)
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= known
    assert {"/v1/models/{model}", "/v1/receipts/{receipt_id}/events"} <= document["paths"].keys()
