"""The exact engine on the bundled model: equal digests for all BLAS kernels, thread counts and vector extensions."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Kind

from p2pverify.core.contract.output import Ask
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.node.ports import SCORE
from tests.engine import exact_digest
from tests.engine.exact_digest import digests, small_digest
from tests.support import kernels
from tests.support.tiny_model import Tiny, write

KEY = bytes(32)
GOLDEN = {
    "prompt": "0b7296f7dd27391924a619846fe89ba8ac7a1de706aa687d3f16825c62dfa847",
    "answer": "86c7840ba05621397294e8e77409a2c5ce753b2f701db51a1f43e767cb1ee676",
    "answer logits": "24b19f6b179d27a18a2323d03c85826ce5f21780ca615d0e3dbe1111b94210de",
    "score": "cd95f2fad5d8c079ee803f0215389fff16ec7ed5e9d8d5e5d9cc7a72fa37feef",
    "score logits": "24b19f6b179d27a18a2323d03c85826ce5f21780ca615d0e3dbe1111b94210de",
    "long": "a262d6386302286b18540e9274139e3f1802e7e2b17c9637db5420fb777b9813",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the packed weights, removed after the tests because it needs half a gigabyte."""
    folder = tmp_path_factory.mktemp("exact")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def exact(cache: Path) -> Iterator[ExactEngine]:
    engine = ExactEngine(weights.bundled(), expect_sha256=weights.SHA256, cache=cache)
    yield engine
    engine.close()


def test_golden_digests(exact: ExactEngine) -> None:
    """These bits are equal on every machine. A change of any of them needs another engine id than exact/1."""
    found = digests(exact)
    assert found == GOLDEN
    assert found["answer logits"] == found["score logits"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A random model of each architecture and of each kind of quantisation."""
    folder = tmp_path_factory.mktemp("small")
    models = {
        "qwen2": Tiny("qwen2", width=128, kind=Kind.Q5_1, values_kind=Kind.Q8_0, tied=False),
        "qwen3": Tiny("qwen3", 256, 2, 1, 128, 256, kind=Kind.Q3_K, scale=0.1),
        "gemma3": Tiny("gemma3", 256, 2, 1, 256, 256, kind=Kind.Q4_K, values_kind=Kind.Q6_K, window=8, scale=0.1),
        "floats": Tiny(kind=Kind.F16, embedding_kind=Kind.BF16),
    }
    return [write(folder / f"{name}.gguf", tiny) for name, tiny in models.items()]


def test_other_code_paths_give_the_same_bits(cache: Path, small: list[Path]) -> None:
    """Another BLAS kernel, more threads, and numpy without vector extensions give equal bits.

    `tests/long/test_kernels` has the bundled model, on one thread, and the other kernels.
    """
    expected = {path.stem: small_digest(path, cache) for path in small}
    assert kernels.bits(next(iter(kernels.SETTINGS)), exact_digest.__name__, cache, *small) == expected


def test_cached_prefixes_change_no_bit(exact: ExactEngine) -> None:
    """The logits do not depend on earlier calls, or on how a sequence was split."""
    sequence = exact.encode_chat("What do you know of tides? " * 8)[:40]
    assert len(sequence) == 40
    exact.forget()
    fresh = [row.tobytes() for row in exact.rows(sequence, 35)]
    list(exact.rows((*sequence[:20], 5, 6, 7), 22))
    assert [row.tobytes() for row in exact.rows(sequence, 35)] == fresh
    exact.forget()
    for end in range(36, 41):
        (one_by_one,) = exact.rows(sequence[:end], end - 1)
        assert one_by_one.tobytes() == fresh[end - 36]


def test_info_names_the_class(exact: ExactEngine, llama: LlamaEngine) -> None:
    """It has the same weights, tokenizer and template as llama.cpp, but its own class."""
    theirs = llama.info
    assert (exact.info.engine, exact.info.numeric_path) == ("exact/1", "integer")
    assert exact.info.weights_sha256 == weights.SHA256
    assert exact.info.tokenizer_sha256 == theirs.tokenizer_sha256
    assert exact.info.template_sha256 == theirs.template_sha256
    assert (exact.info.vocab_tokens, exact.info.context_tokens) == (theirs.vocab_tokens, theirs.context_tokens)
    assert SCORE in exact.info.can
    assert exact.encode_chat("Hi <|im_end|>") == llama.encode_chat("Hi <|im_end|>")


def test_the_model_answers(exact: ExactEngine) -> None:
    """The greedy answer to an easy question is right, and stops at the end of the turn."""
    told: list[int] = []
    answer = exact.answer(Ask(exact.encode_chat("What is the capital of Germany?"), 24, 0, KEY), told.extend).output
    assert tuple(told) == answer.tokens
    assert "Berlin" in exact.decode(answer.tokens)
    assert answer.finish == "stop"


@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_it_judges_an_honest_answer_by_its_margins(
    temperature_milli: int, exact: ExactEngine, llama: LlamaEngine
) -> None:
    """Answers of llama.cpp have small margins. The same tokens for another key or prompt have large margins."""
    prompt, other = (exact.encode_chat(text) for text in ("Tell me about tides.", "Write a poem about bread."))
    question = Ask(prompt, 24, temperature_milli, KEY)
    tokens = llama.answer(question).output.tokens
    honest = exact.score(question, tokens)
    assert sum(honest.deficits) < 20_000 * len(tokens)
    assert sum(exact.score(replace(question, prompt=other), tokens).deficits) > 200_000 * len(tokens)
    if temperature_milli:
        wrong = exact.score(replace(question, sampler_key=bytes([1]) * 32), tokens)
        assert sum(wrong.deficits) > 200_000 * len(tokens)
    assert honest.ends == tuple(token == 2 for token in tokens)


@pytest.mark.parametrize(
    ("prompt", "tokens"), [((), (5,)), ((5,), ()), ((5,), (49152,)), ((-1,), (5,)), ((5,) * 1000, (5,) * 25)]
)
def test_what_does_not_fit_is_refused(prompt: tuple[int, ...], tokens: tuple[int, ...], exact: ExactEngine) -> None:
    """An answer that is empty, too long, or has tokens outside the vocabulary is not scored."""
    with pytest.raises(ValueError):
        exact.score(Ask(prompt, len(tokens), 0, KEY), tokens)


def test_a_closed_engine_says_so(cache: Path) -> None:
    """Closing twice is harmless. Using it after that is an error."""
    engine = ExactEngine(weights.bundled(), cache=cache)
    prompt = engine.encode_chat("Hi")
    engine.close()
    engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        engine.answer(Ask(prompt, 1, 0, KEY))
