"""Servers of several dialects over the real model: probing finds their abilities, and their answers equal ours."""

from collections.abc import Callable
from typing import Any

import pytest

from p2pverify.core.contract.output import NO_LOGITS, Ask
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.openai import Endpoint, OpenAIEngine
from p2pverify.engine.openai.http import ServerError
from p2pverify.engine.openai.probe import PromptRows
from p2pverify.node.ports import GENERATE, GREEDY, SCORE, WRITE
from tests.support.completions import KEY as SERVER_KEY
from tests.support.completions import MODEL, Dialect, Model, serve

KEY = bytes(32)
TEXT = "What is the capital of Germany?"
HOT = "List ten animals."
VOCAB = 49152


def vllm(shown_max: int = VOCAB, **more: Any) -> Dialect:
    return Dialect(shown_max, named_by_id=True, prompt_logprobs=True, **more)


def plain(shown_max: int = 5, **more: Any) -> Dialect:
    """A server that names tokens by text and refuses fields that OpenAI does not have."""
    return Dialect(shown_max, echo=True, **more)


@pytest.fixture(scope="module")
def model(llama: LlamaEngine) -> Model:
    def piece(token: int) -> str:
        return "<|im_end|>" if token == 2 else llama.decode((token,))

    return Model(llama.rows, piece, lambda token: token == 2)


def open_engine(url: str, *, model: str = "", key: str = "") -> OpenAIEngine:
    return OpenAIEngine(weights.bundled(), Endpoint(url, model, key), expect_sha256=weights.SHA256)


@pytest.mark.parametrize(
    ("dialect", "shown_max", "prompt_rows", "can"),
    [
        (vllm(), VOCAB, PromptRows.FIELD, {GENERATE, WRITE, SCORE}),
        (vllm(20), 20, PromptRows.FIELD, {GREEDY, SCORE}),
        (plain(5), 5, PromptRows.ECHO, {GREEDY, SCORE}),
        (Dialect(5), 5, PromptRows.NONE, {GREEDY}),
        (Dialect(20, clamps=True, named_by_id=True), 20, PromptRows.NONE, {GREEDY}),
    ],
    ids=["vllm", "vllm-20", "echo", "plain", "clamps"],
)
def test_abilities_are_found_by_asking(
    model: Model, llama: LlamaEngine, dialect: Dialect, shown_max: int, prompt_rows: PromptRows, can: set[str]
) -> None:
    """Each dialect is recognised from its answers. The greedy answer is the model's in all of them."""
    with serve(model, dialect) as url:
        engine = open_engine(url)
        sent = dialect.requests
        assert not [body for place, body in enumerate(sent) if body in sent[:place]]
        assert (engine.abilities.shown_max, engine.abilities.prompt_rows) == (shown_max, prompt_rows)
        assert engine.info.can == can
        assert engine.info.weights_sha256 == weights.SHA256
        assert engine.encode_chat(TEXT) == llama.encode_chat(TEXT)
        prompt = llama.encode_chat(TEXT)
        told: list[int] = []
        answer = engine.answer(Ask(prompt, 12, 0, KEY), told.extend).output
        assert tuple(told) == answer.tokens
        ours = llama.answer(Ask(prompt, 12, 0, KEY)).output
        assert (answer.tokens, answer.finish) == (ours.tokens, ours.finish)
        assert answer.finish == "stop"
        assert answer.logits == NO_LOGITS
        engine.close()


def test_sampled_answers_need_few_log_probabilities(model: Model, llama: LlamaEngine) -> None:
    """At a temperature the tokens equal those from whole rows, although few positions need more than the first
    request."""
    dialect = vllm()
    with serve(model, dialect) as url:
        engine = open_engine(url)
        prompt = llama.encode_chat(HOT)
        for temperature_milli in (300, 800):
            asked = Ask(prompt, 6, temperature_milli, KEY)
            dialect.requests.clear()
            assert engine.answer(asked).output.tokens == llama.answer(asked).output.tokens
            assert {body["temperature"] for body in dialect.requests} == {0}
            whole = sum(body["logprobs"] == VOCAB for body in dialect.requests)
            assert whole < 3, f"{whole} whole rows at {temperature_milli}"
        engine.close()


def test_too_few_log_probabilities_are_refused(model: Model, llama: LlamaEngine) -> None:
    """If they do not decide the pick, no token is guessed."""
    with serve(model, vllm(5)) as url:
        engine = open_engine(url)
        with pytest.raises(ValueError, match="5 log-probabilities"):
            engine.answer(Ask(llama.encode_chat(HOT), 32, 1500, KEY))
        with pytest.raises(ValueError, match="whole vocabulary"):
            engine.write_prompt(bytes(16), 4)
        engine.close()


@pytest.mark.parametrize("dialect", [vllm(), vllm(20), plain(20)], ids=["vllm", "vllm-20", "echo"])
def test_scores_are_those_of_the_model(model: Model, llama: LlamaEngine, dialect: Dialect) -> None:
    """Margins and surprisals of a wrong answer equal the model's up to rounding, in one request at temperature 0."""
    prompt = llama.encode_chat(TEXT)
    tokens = (*llama.encode_text("The capital is Lyon."), 2)
    with serve(model, dialect) as url:
        engine = open_engine(url)
        dialect.requests.clear()
        theirs = engine.score(Ask(prompt, len(tokens), 0, KEY), tokens)
        assert dialect.prompt_logprobs is False or len(dialect.requests) == 1
        ours = llama.score(Ask(prompt, len(tokens), 0, KEY), tokens)
        assert (theirs.best, theirs.ends) == (ours.best, ours.ends)
        assert theirs.deficits == pytest.approx(ours.deficits, abs=2)
        assert theirs.surprisals == pytest.approx(ours.surprisals, abs=10)
        assert max(theirs.deficits) > 1_000_000
        engine.close()


def test_scores_at_a_temperature(model: Model, llama: LlamaEngine) -> None:
    """The sampler's noise is replayed. An answer of the model has no deficit, and one of another key has."""
    prompt = llama.encode_chat(HOT)
    asked = Ask(prompt, 6, 800, KEY)
    tokens = llama.answer(asked).output.tokens
    with serve(model, vllm()) as url:
        engine = open_engine(url)
        scored = engine.score(asked, tokens)
        assert set(scored.deficits) == {0}
        assert scored.best == tokens
        other = engine.score(Ask(prompt, len(tokens), 800, bytes([7]) * 32), tokens)
        ours = llama.score(Ask(prompt, len(tokens), 800, bytes([7]) * 32), tokens)
        assert other.best == ours.best
        assert other.deficits == pytest.approx(ours.deficits, abs=2)
        assert max(other.deficits) > 1_000_000
        engine.close()


def test_a_server_that_leaves_out_the_end(model: Model, llama: LlamaEngine) -> None:
    """The token that ended an answer is requested separately."""
    with serve(model, vllm(leaves_out_end=True)) as url:
        engine = open_engine(url)
        answer = engine.answer(Ask(llama.encode_chat(TEXT), 12, 0, KEY)).output
        assert (answer.tokens[-1], answer.finish) == (2, "stop")
        engine.close()


def test_a_prompt_written_by_a_server(model: Model, llama: LlamaEngine) -> None:
    """With the whole vocabulary, a derived prompt equals the model's own."""
    with serve(model, vllm()) as url:
        engine = open_engine(url)
        assert engine.write_prompt(bytes(16), 3) == llama.write_prompt(bytes(16), 3)
        engine.close()


def test_questions_are_checked_before_the_server_sees_them(model: Model) -> None:
    """Foreign and too many tokens raise ValueError, and nothing is sent."""
    dialect = vllm(20)
    with serve(model, dialect) as url:
        engine = open_engine(url)
        dialect.requests.clear()
        for prompt, tokens_max in (((), 1), ((VOCAB,), 1), ((5,), 1024), ((5,), 0)):
            with pytest.raises(ValueError):
                engine.answer(Ask(prompt, tokens_max, 0, KEY))
        assert dialect.requests == []
        engine.close()


def test_key_and_model(model: Model) -> None:
    """The key is sent as a bearer token. Without it, or with another model's name, the message says what to set."""
    with serve(model, vllm(20, key=SERVER_KEY, models=(MODEL, "other"))) as url:
        open_engine(url, key=SERVER_KEY, model="other").close()
        with pytest.raises(EngineUnavailable, match="P2PVERIFY_OPENAI_KEY"):
            open_engine(url)
        with pytest.raises(EngineUnavailable, match="'the-model', 'other': set openai_model"):
            open_engine(url, key=SERVER_KEY)
        with pytest.raises(EngineUnavailable, match="no model 'third'"):
            open_engine(url, key=SERVER_KEY, model="third")


def test_no_server() -> None:
    """An absent server and invalid URLs are errors."""
    with pytest.raises(EngineUnavailable, match="no server answers at http://127"):
        open_engine("http://127.0.0.1:1/v1")
    for url in ("127.0.0.1:80", "ftp://host/v1", "http://user@host/v1", "http://host:port/v1", "http://host/v1?a=b"):
        with pytest.raises(EngineUnavailable, match="base URL"):
            open_engine(url)
    with pytest.raises(EngineUnavailable, match="header"):
        open_engine("http://127.0.0.1:1/v1", key="a\r\nb")


def without_logprobs(document: dict[str, Any]) -> Any:
    document["choices"][0]["logprobs"] = None
    return document


def more_prompt_tokens(document: dict[str, Any]) -> Any:
    document["usage"]["prompt_tokens"] += 1
    return document


def other_text(document: dict[str, Any]) -> Any:
    document["choices"][0]["text"] = "?"
    return document


def with_logprob(value: object) -> Callable[[dict[str, Any]], Any]:
    def spoil(document: dict[str, Any]) -> Any:
        document["choices"][0]["logprobs"]["token_logprobs"] = [value]
        return document

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_logprobs, "no log-probabilities"),
        (more_prompt_tokens, "must take token ids as they are"),
        (other_text, "another vocabulary"),
        (with_logprob(0.5), "shape"),
        (with_logprob("1"), "shape"),
        (with_logprob(float("nan")), "JSON"),
        (lambda _: b"x" * 200_000, "sends more than"),
        (lambda _: b"[" * 60_000, "JSON"),
        (lambda _: b"[]", "no JSON object"),
        (lambda _: {"choices": []}, "shape"),
        (lambda _: {"choices": [{"logprobs": {"content": [3]}}]}, "shape"),
        (lambda _: {"choices": [{"logprobs": {"tokens": ["token_id:x"]}}]}, "shape"),
    ],
)
def test_answers_are_read_strictly(model: Model, spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
    """An answer that is no completion with log-probabilities is refused with a message that says so."""
    with serve(model, vllm(20, spoil=spoil)) as url, pytest.raises(ServerError, match=message):
        open_engine(url)
