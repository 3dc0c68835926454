"""PyTorch over the same weights. Needs the extra `transformers`, so the default suite leaves it out:

`uv run --extra transformers pytest -o addopts= tests/engine/test_transformers.py`
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from p2pverify.core.contract.output import NO_LOGITS, Ask
from p2pverify.core.inference.compare import measure
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.registry import open_engine
from p2pverify.engine.transformers import TransformersEngine
from p2pverify.node.ports import GENERATE, SCORE, WRITE

KEY = bytes(32)
TOKENS = 24
SAME_MODEL_MAX = 60_000
PROMPTS = ("Explain how a diesel engine works.", "List ten animals.", "Why is the sky blue?")


@pytest.fixture(scope="module")
def engine() -> Iterator[TransformersEngine]:
    opened = open_engine("transformers")
    assert isinstance(opened, TransformersEngine)
    yield opened
    opened.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        opened.write_prompt(bytes(16), 2)


def test_info(engine: TransformersEngine, llama: LlamaEngine) -> None:
    """It has its own name, and the same weights, tokens and template as llama.cpp."""
    ours, theirs = engine.info, llama.info
    assert ours.engine.startswith("transformers/")
    assert ours.can == {GENERATE, SCORE, WRITE}
    assert (ours.weights_sha256, ours.tokenizer_sha256, ours.template_sha256) == (
        weights.SHA256,
        theirs.tokenizer_sha256,
        theirs.template_sha256,
    )
    assert (ours.context_tokens, ours.vocab_tokens) == (theirs.context_tokens, theirs.vocab_tokens)


@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_answers_are_honest_ones(engine: TransformersEngine, llama: LlamaEngine, temperature_milli: int) -> None:
    """llama.cpp finds small margins in its answers, and it finds small margins in llama.cpp's."""
    for text in PROMPTS:
        asked = Ask(llama.encode_chat(text), TOKENS, temperature_milli, KEY)
        for author, judge in ((engine, llama), (llama, engine)):
            answer = author.answer(asked).output
            scored = judge.score(asked, answer.tokens)
            assert measure(scored.deficits, scored.ends, answer.finish, TOKENS).total < SAME_MODEL_MAX * TOKENS


def test_equal_questions_give_equal_answers(engine: TransformersEngine, llama: LlamaEngine) -> None:
    """No state is kept between calls, and no digest is given that a score would not give."""
    prompt = llama.encode_chat(PROMPTS[0])
    asked = Ask(prompt, 8, 800, KEY)
    first = engine.answer(asked).output
    written = engine.write_prompt(bytes(16), 4)
    engine.answer(replace(asked, prompt=prompt[:-1], tokens_max=3))
    again = engine.answer(asked).output
    assert again.tokens == first.tokens
    assert engine.write_prompt(bytes(16), 4) == written
    assert first.logits == engine.score(asked, first.tokens).logits == NO_LOGITS


def test_a_wrong_answer_has_large_margins(engine: TransformersEngine, llama: LlamaEngine) -> None:
    prompt = llama.encode_chat("What is the capital of France?")
    tokens = llama.encode_text("The capital is Lyon.")
    asked = Ask(prompt, len(tokens), 0, KEY)
    ours, theirs = engine.score(asked, tokens), llama.score(asked, tokens)
    assert ours.deficits == pytest.approx(theirs.deficits, abs=1_500_000)
    assert max(ours.deficits) > 3_000_000
