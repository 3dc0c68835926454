"""The exact engine on Gemma: pinned bits, and answers near to those of llama.cpp."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.llama.engine import LlamaEngine
from tests.support import kernels

KEY = bytes(32)
BEGIN = 2
TEXT = "Long ago, tides were explained by the moon. Today we know that the sun has a part in them, too, because"
TOKENS = 20
GOLDEN = "3e79c04b1e9bb9d2681454dc24063fdd785ff3c42de4b683b1a165039b714cd6"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the packed weights, removed after the tests because it needs 0.4 GB."""
    folder = tmp_path_factory.mktemp("exact")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def exact(gemma: Path, cache: Path) -> Iterator[ExactEngine]:
    engine = ExactEngine(gemma, cache=cache)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def llama(gemma: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(gemma)
    yield engine
    engine.close()


def sequence(engine: ExactEngine, text: str = TEXT) -> tuple[int, ...]:
    """The tokens of a text behind the token that begins every text, without a chat template: a base model has none."""
    return (BEGIN, *engine._tokeniser.tokenise(text, special=False))


def digests(engine: ExactEngine) -> dict[str, str]:
    """Digests of the logits of a prompt of several batches, and of its end if it is run one token at a time."""
    tokens = sequence(engine)
    engine.forget()
    whole, single = hashlib.sha256(), hashlib.sha256()
    for row in engine.rows(tokens, len(tokens) - TOKENS):
        whole.update(row.tobytes())
    engine.forget()
    for end in range(len(tokens) - TOKENS + 1, len(tokens) + 1):
        (row,) = engine.rows(tokens[:end], end - 1)
        single.update(row.tobytes())
    return {"every position": whole.hexdigest(), "one at a time": single.hexdigest()}


def test_golden_digests(exact: ExactEngine) -> None:
    """These bits are equal on every machine, in prefill and in decoding."""
    assert digests(exact) == {"every position": GOLDEN, "one at a time": GOLDEN}


@pytest.mark.parametrize("name", list(kernels.SETTINGS)[:2])
def test_other_code_paths_give_the_same_bits(name: str, exact: ExactEngine, gemma: Path, cache: Path) -> None:
    """Another BLAS kernel, more threads, and numpy without vector extensions give equal bits."""
    assert kernels.bits(name, __name__, gemma, cache) == {"every position": GOLDEN, "one at a time": GOLDEN}


def test_both_engines_have_the_same_model(exact: ExactEngine, llama: LlamaEngine) -> None:
    """Tokens, template and sizes are those of llama.cpp."""
    ours, theirs = exact.info, llama.info
    assert (ours.model, ours.weights_sha256, ours.tokenizer_sha256) == (
        theirs.model,
        theirs.weights_sha256,
        theirs.tokenizer_sha256,
    )
    assert (ours.vocab_tokens, ours.context_tokens) == (theirs.vocab_tokens, theirs.context_tokens)
    for text in (TEXT, "Grüße, 你好 \U0001f30a\n\x01 <bos> <start_of_turn>"):
        assert exact.encode_chat(text) == llama.encode_chat(text)


def test_logits_are_near_those_of_llama_cpp(exact: ExactEngine, llama: LlamaEngine) -> None:
    """The differences are those between numeric paths of llama.cpp, so most greedy tokens are equal."""
    tokens = sequence(exact)
    first = len(tokens) - TOKENS
    ours, theirs = (np.stack([row.copy() for row in engine.rows(tokens, first)]) for engine in (exact, llama))
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.1 * theirs.std()
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.85


def test_it_judges_an_honest_answer_by_its_margins(exact: ExactEngine, llama: LlamaEngine) -> None:
    """Answers of llama.cpp have small margins. The same tokens behind another prompt have large margins."""
    question = Ask(sequence(exact), TOKENS, 0, KEY)
    tokens = llama.answer(question).output.tokens
    assert sum(exact.score(question, tokens).deficits) < 30_000 * len(tokens)
    other = Ask(sequence(exact, "This is a poem about bread:"), TOKENS, 0, KEY)
    assert sum(exact.score(other, tokens).deficits) > 200_000 * len(tokens)


def test_the_window_of_local_layers_is_left_behind(gemma: Path, cache: Path, llama: LlamaEngine) -> None:
    """Behind 600 tokens, more than the window of 512, logits are still near and do not depend on the batches."""
    exact = ExactEngine(gemma, cache=cache)
    tokens = (sequence(exact) * 30)[:600]
    whole = [row.tobytes() for row in exact.rows(tokens, 590)]
    theirs = np.stack([row.copy() for row in llama.rows(tokens, 590)])
    exact.forget()
    list(exact.rows(tokens[:577], 576))
    assert [row.tobytes() for row in exact.rows(tokens, 590)] == whole
    ours = np.frombuffer(b"".join(whole), np.float32).reshape(theirs.shape)
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.1 * theirs.std()
    exact.close()


def main() -> None:
    weights, cache = map(Path, sys.argv[1:])
    engine = ExactEngine(weights, cache=cache)
    print(json.dumps(digests(engine)))
    engine.close()


if __name__ == "__main__":
    main()
