"""A real server: llama.cpp's own, from the wheel, on loopback, with the same weights.

Its settings are not the canonical ones, so its bits differ, like those of any server.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.core.inference.compare import measure
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.openai import Endpoint, OpenAIEngine
from p2pverify.engine.openai.http import ServerError
from p2pverify.engine.openai.probe import PromptRows
from p2pverify.node.ports import GENERATE, SCORE, WRITE
from tests.support.llama_server import llama_server

SERVER_KEY = "loopback"
KEY = bytes(32)
TOKENS = 24
#: A mean margin, in micronats, far above what other arithmetic over the same weights costs (about 5,000) and far
#: below what another model does (above 300,000): see the calibration for exact figures.
SAME_MODEL_MAX = 60_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with llama_server(weights.bundled(), key=SERVER_KEY) as served:
        yield served


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[OpenAIEngine]:
    opened = OpenAIEngine(weights.bundled(), Endpoint(url, key=SERVER_KEY), expect_sha256=weights.SHA256)
    yield opened
    opened.close()


def test_what_it_can_do(engine: OpenAIEngine) -> None:
    """It shows its whole vocabulary's log-probabilities, no log-probabilities of a prompt, and its context length."""
    assert engine.info.can == {GENERATE, SCORE, WRITE}
    assert engine.abilities.shown_max == engine.info.vocab_tokens == 49152
    assert engine.abilities.prompt_rows is PromptRows.NONE
    assert engine.info.context_tokens == 512


@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_answers_are_honest_ones(engine: OpenAIEngine, llama: LlamaEngine, temperature_milli: int) -> None:
    """Our engine finds small margins in the server's answers, and large ones for another key."""
    prompt = llama.encode_chat("Explain how a diesel engine works.")
    asked = Ask(prompt, TOKENS, temperature_milli, KEY)
    made = engine.answer(asked)
    answer = made.output
    assert len(answer.tokens) == TOKENS
    assert 0 < made.first_token_ms <= made.total_ms
    scored = llama.score(asked, answer.tokens)
    found = measure(scored.deficits, scored.ends, answer.finish, TOKENS)
    assert found.total < SAME_MODEL_MAX * TOKENS
    other = llama.score(replace(asked, temperature_milli=800, sampler_key=bytes([9]) * 32), answer.tokens)
    assert measure(other.deficits, other.ends, answer.finish, TOKENS).total > SAME_MODEL_MAX * TOKENS


def test_it_ends_an_answer_as_we_do(engine: OpenAIEngine, llama: LlamaEngine) -> None:
    """The end-of-sequence token is part of the answer, although the server's text has none."""
    answer = engine.answer(Ask(llama.encode_chat("What is the capital of Germany?"), TOKENS, 0, KEY)).output
    assert (answer.tokens[-1], answer.finish) == (2, "stop")
    assert "Berlin" in engine.decode(answer.tokens)


def test_it_scores_token_by_token(engine: OpenAIEngine, llama: LlamaEngine) -> None:
    """Without rows of a prompt, each position is requested separately. A wrong token's margin is near ours."""
    prompt = llama.encode_chat("What is the capital of France?")
    tokens = (*llama.encode_text("The capital is Lyon."), 2)
    theirs = engine.score(Ask(prompt, len(tokens), 0, KEY), tokens)
    ours = llama.score(Ask(prompt, len(tokens), 0, KEY), tokens)
    assert theirs.ends == ours.ends
    assert theirs.deficits == pytest.approx(ours.deficits, abs=1_500_000)
    assert max(theirs.deficits) > 3_000_000


def test_another_key_is_refused(url: str) -> None:
    with pytest.raises(ServerError, match="wants another key"):
        OpenAIEngine(weights.bundled(), Endpoint(url, key="other"))
