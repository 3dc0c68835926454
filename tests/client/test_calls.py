"""Every call against a real node over sockets: without async code, on trio and on asyncio."""

from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest

from p2pverify.client import (
    AsyncClient,
    BusyError,
    Client,
    NoAnswerError,
    NoNodeError,
    NotAllowedError,
    NotFoundError,
    ParameterError,
    UnreadableProofError,
    UnverifiedError,
    verify,
)
from p2pverify.client.checking import CheckedReceipt
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.clients.paper import dumped
from p2pverify.node.files.home import Home
from p2pverify.node.files.networkfile import dump_network, load_network
from p2pverify.node.ports import AskError
from tests.client.callers import KINDS, Caller
from tests.client.serving import ServedHome, in_thread, on
from tests.support.networks import MANIFEST, make_network, seeds

QUESTION = "why is the sky blue?"
SHORT: dict[str, Any] = {"max_tokens": 40, "seed": 7}


@pytest.fixture(params=KINDS)
def caller(request: pytest.FixtureRequest, served: ServedHome) -> Caller:
    """A client of the node's home."""
    return Caller(request.param, {"home": served.path})


async def test_an_answer_says_who_gave_it(caller: Caller, served: ServedHome) -> None:
    reply = await caller.call("ask", QUESTION, temperature=0.5, **SHORT)
    receipt = await caller.call("receipt", reply.receipt)
    (answer,) = receipt.answers
    assert (reply.text, reply.finish, reply.completion_tokens) == (answer.text, answer.finish, len(answer.tokens))
    assert (reply.peer_id, reply.standing, reply.checked) == (answer.peer_id, "trusted", answer.checked)
    assert reply.peer_id == peer_id(served.bench.network.asked[-1])
    assert (answer.question.temperature_milli, answer.question.tokens_max) == (500, 40)
    assert (reply.model, reply.prompt_tokens) == ("world", len(answer.question.prompt))
    assert reply.said["cut"] == answer.cut
    talk = [{"role": "user", "content": QUESTION}]
    again = await caller.call("ask", talk, temperature=0.5, model="world", **SHORT)
    assert (again.text, again.receipt == reply.receipt) == (reply.text, False)


async def test_a_stream_gives_the_same_answer_in_pieces(caller: Caller, served: ServedHome) -> None:
    whole = await caller.call("ask", QUESTION, **SHORT)
    pieces, reply = await caller.read(QUESTION, **SHORT)
    assert "".join(pieces) == whole.text
    assert all(pieces)
    assert reply is not None
    assert replace(reply, receipt=whole.receipt, said=whole.said) == whole
    assert (await caller.call("receipt", reply.receipt)).state == "answered"


async def test_a_stream_that_is_left_early(caller: Caller, served: ServedHome) -> None:
    """The node gets its place back and keeps the receipt."""
    pieces, reply = await caller.read(QUESTION, stop_after=1, **SHORT)
    assert (len(pieces), reply) == (1, None)
    await served.no_orders()
    assert served.bench.door._desk.taken == 0


async def test_there_is_no_reply_before_the_end(served: ServedHome) -> None:
    def plain() -> None:
        with Client(served.path).stream(QUESTION, **SHORT) as pieces, pytest.raises(RuntimeError, match="to its end"):
            _ = pieces.reply

    async def asynchronous() -> None:
        async with AsyncClient(served.path).stream(QUESTION, **SHORT) as pieces:
            with pytest.raises(RuntimeError, match="to its end"):
                _ = pieces.reply

    await in_thread(plain)
    await asynchronous()


async def test_scores_and_passports(caller: Caller, served: ServedHome) -> None:
    """A passport from the node holds against the network file of the home."""
    final, provisional = await caller.call("scores"), await caller.call("scores", provisional=True)
    assert (final.final, provisional.final) == (True, False)
    peer = final.scores[0].peer_id
    passport = await caller.call("passport", peer)
    facts = await caller.call("verify", passport)
    assert (peer_id(facts.row.peer), facts.row.standing) == (peer, "trusted")
    assert (await caller.call("verify", bytes.fromhex(passport.passport), cut=passport.cut)) == facts
    with pytest.raises(UnverifiedError, match="not of the cut in cut"):
        await caller.call("verify", passport, cut=bytes(32))
    with pytest.raises(UnverifiedError, match="not the one that its document names"):
        await caller.call("verify", replace(passport, peer_id=final.scores[1].peer_id))
    with pytest.raises(NotFoundError) as missing:
        await caller.call("passport", peer_id(seeds(1, "nobody")[0]))
    assert missing.value.code == "no_passport"


async def test_a_receipt_is_verified(caller: Caller, served: ServedHome) -> None:
    """As a document, as a file, and against another network."""
    receipt = await caller.call("receipt", (await caller.call("ask", QUESTION, **SHORT)).receipt)
    checked = await caller.call("verify", receipt)
    assert isinstance(checked, CheckedReceipt)
    assert checked.document == receipt
    assert checked.answers[0].facts.answer.output.tokens == receipt.answers[0].tokens
    path = served.path / "receipt.json"
    path.write_bytes(dumped(receipt))
    assert await caller.call("verify", str(path)) == checked
    assert verify(path, network=load_network(served.home.network_path)[0]) == checked
    other = served.path / "other.toml"
    other.write_text(dump_network(make_network(seeds(3)), (MANIFEST,)))
    with pytest.raises(UnverifiedError, match="it is of another network"):
        await caller.call("verify", receipt, network=other)
    forged = replace(receipt, answers=(replace(receipt.answers[0], tokens=(1, 2)),))
    with pytest.raises(UnverifiedError, match="the answer that it shows is not the one that was signed"):
        await caller.call("verify", forged)
    with pytest.raises(UnverifiedError, match="it holds no answer"):
        await caller.call("verify", replace(receipt, state="failed", answers=()))


@pytest.mark.parametrize("proof", [b"{}", b"\x88x", b"", "nowhere.json", "receipt\0.json"])
def test_what_is_no_proof_is_said(proof: bytes | str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("network") / "network.toml"
    path.write_text(dump_network(make_network(seeds(3)), (MANIFEST,)))
    with pytest.raises(UnreadableProofError):
        verify(proof, network=path)
    with pytest.raises(UnreadableProofError, match="there is no such file"):
        verify(proof, network=path.with_name("other.toml"))


async def test_a_refused_parameter_is_named(caller: Caller, served: ServedHome) -> None:
    for named, param in (
        (({"temperature": 9}), "temperature"),
        ({"model": "gpt-9"}, "model"),
        ({"seed": 2**70}, "seed"),
    ):
        with pytest.raises(ParameterError) as refused:
            await caller.call("ask", QUESTION, **named)
        assert refused.value.param == param
        assert refused.value.code
        with pytest.raises(ParameterError):
            await caller.read(QUESTION, **named)
    with pytest.raises(ParameterError, match="bytes"):
        await caller.call("ask", "x" * 3_000_000)
    with pytest.raises(ParameterError) as refused:
        await caller.call("ask", "x" * 100_000)
    assert (refused.value.param, refused.value.code) == ("messages", "context_length_exceeded")
    assert served.bench.network.asked == []


async def test_what_is_no_json_is_a_wrong_call(caller: Caller) -> None:
    with pytest.raises(ValueError, match="JSON"):
        await caller.call("ask", QUESTION, temperature=float("nan"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gateway_asks_for_a_key(served: ServedHome, kind: str) -> None:
    """A key reads its own receipts only, and a busy node says when to come back."""
    alice, _ = served.keys.add("alice", per_minute=60, at_once=4)
    bob, bobs = served.keys.add("bob", per_minute=2, at_once=4)
    with_key = {key: Caller(kind, {"url": f"{served.gateway}/v1/", "key": key}) for key in (alice, bob)}
    for where in ({}, {"key": "p2pv-wrong"}):
        with pytest.raises(NotAllowedError, match="key"):
            await Caller(kind, {"url": served.gateway, **where}).call("ask", QUESTION)
    reply = await with_key[alice].call("ask", QUESTION, **SHORT)
    assert (await with_key[alice].call("receipt", reply.receipt)).state == "answered"
    with pytest.raises(NotFoundError) as missing:
        await with_key[bob].call("receipt", reply.receipt)
    assert missing.value.code == "no_such_receipt"
    with pytest.raises(NotFoundError, match="there is no such path"):
        await with_key[alice].call("scores")
    for _ in range(2):
        await with_key[bob].call("ask", QUESTION, **SHORT)
    for call in (with_key[bob].call, with_key[bob].read):
        with pytest.raises(BusyError) as busy:
            await (call("ask", QUESTION) if call == with_key[bob].call else call(QUESTION))
        assert (busy.value.retry_after_s >= 1, busy.value.code) == (True, "rate_limit_exceeded")
    served.keys.revoke(bobs.id)
    with pytest.raises(NotAllowedError):
        await with_key[bob].call("ask", QUESTION)


async def test_a_question_that_nobody_answers(caller: Caller, served: ServedHome) -> None:
    """The error has the id of the receipt, which says what happened."""

    def fail() -> None:
        raise ValueError("no such token")

    for peer in served.bench.others:
        served.bench.network.faults[peer] = AskError("broken")
    served.bench.engines[served.bench.own].gate = fail
    for ask in (partial(caller.call, "ask", QUESTION, seed=1), partial(caller.read, QUESTION, seed=2)):
        with pytest.raises(NoAnswerError) as failed:
            await ask()
        assert failed.value.code == "no_answer"
        assert (await caller.call("receipt", failed.value.receipt)).state == "failed"


async def test_a_receipt_that_cannot_be_kept(caller: Caller, served: ServedHome) -> None:
    served.bench.book.broken = True
    with pytest.raises(NoAnswerError):
        await caller.call("ask", QUESTION, **SHORT)
    with pytest.raises(NoAnswerError) as failed:
        await caller.read(QUESTION, **SHORT)
    assert failed.value.code == "not_kept"


async def test_only_the_homes_own_node_gets_the_question(caller: Caller, served: ServedHome) -> None:
    """Another node took the port: it cannot prove itself, and gets nothing."""
    other = Home(served.path.parent / "other")
    other.init()
    other.ensure_token()
    other.write_api(served.url)
    stranger = Caller(caller.kind, {"home": other.path, "key": "p2pv-secret"})
    for call in (partial(stranger.call, "ask", QUESTION), partial(stranger.read, QUESTION),
                 partial(stranger.call, "scores"), partial(stranger.call, "receipt", "rcpt_1")):  # fmt: skip
        with pytest.raises(NoNodeError, match="is not the node of this home"):
            await call()
    assert served.bench.network.asked == []


async def test_where_no_node_is(caller: Caller, served: ServedHome) -> None:
    served.home.clear_api()
    with pytest.raises(NoNodeError, match="no node is running"):
        await caller.call("scores")
    served.home.token_path.chmod(0o644)
    with pytest.raises(NoNodeError, match="can be read or written by other users"):
        await caller.call("scores")
    with pytest.raises(NoNodeError, match="no node is running"):
        await Caller(caller.kind, {"home": served.path / "nowhere"}).call("ask", QUESTION)
    with pytest.raises(NoNodeError, match=r"no node answers at http://127.0.0.1:1 \(.*(refused|failed)"):
        await Caller(caller.kind, {"url": "http://127.0.0.1:1"}).call("ask", QUESTION)


async def test_callers_limit_the_time(served: ServedHome) -> None:
    """Of a call and of a stream, with the means of each library."""
    for peer in served.bench.others:
        served.bench.network.faults[peer] = None

    async def limited() -> None:
        with anyio.fail_after(0.3):
            await AsyncClient(served.path).ask(QUESTION)

    def stream() -> None:
        with Client(served.path, timeout_s=0.3).stream(QUESTION) as pieces:
            list(pieces)

    for ask in (partial(on, "trio", limited), partial(on, "asyncio", limited), partial(in_thread, stream),
                partial(in_thread, partial(Client(served.path, timeout_s=0.3).ask, QUESTION))):  # fmt: skip
        with pytest.raises(TimeoutError):
            await ask()


async def test_answers_of_many_tasks_are_not_mixed(served: ServedHome) -> None:
    client = AsyncClient(served.path)
    alone = [(await client.ask(QUESTION, max_tokens=20, seed=seed)).text for seed in range(8)]
    found: dict[int, str] = {}

    async def ask(seed: int) -> None:
        found[seed] = (await client.ask(QUESTION, max_tokens=20, seed=seed)).text

    async def ask_all() -> None:
        async with anyio.create_task_group() as tasks:
            for seed in range(8):
                tasks.start_soon(ask, seed)

    for backend in ("trio", "asyncio"):
        found.clear()
        await on(backend, ask_all)
        assert [found[seed] for seed in range(8)] == alone


def test_wrong_places() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"url": "ftp://127.0.0.1"}, "is not the URL"),
        ({"url": "http://127.0.0.1:99999"}, "is not the URL"),
        ({"url": "http://127.0.0.1/?a=1"}, "is not the URL"),
        ({"url": "http://127.0.0.1\r\nX: y"}, "is not the URL"),
        ({"url": "http://[::1"}, "is not the URL"),
        ({"url": "http://a:b@127.0.0.1"}, "must not hold a password"),
        ({"url": "http://127.0.0.1", "home": "."}, "not both"),
    ]
    for where, message in cases:
        for kind in (Client, AsyncClient):
            with pytest.raises(ValueError, match=message):
                kind(**where)
    with pytest.raises(ValueError, match="give the network file"):
        Client(url="http://127.0.0.1").verify(b"")
    with pytest.raises(ValueError, match="the key has characters"):
        Client(url="http://127.0.0.1:1", key="a\r\nX: y").ask("x")
