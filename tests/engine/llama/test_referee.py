"""The pinned path of llama.cpp as a referee: what it measures does not depend on threads, batches or history."""

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Kind

from p2pverify.core.contract.output import Ask
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.reader import Tensor
from p2pverify.engine.llama import bindings, engine, variants
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.llama.steady import K_QUANT_TOKENS, TOKENS_MAX, steady_tokens
from p2pverify.engine.registry import BUNDLED, EngineOpening, open_referee
from p2pverify.node.engines.kinds import ENGINES, is_referee

REFEREE = ENGINES["llama"].referee


def test_the_table_names_the_pinned_build_and_its_path():
    """`kinds` imports no engine, so the id and the path stand there as text."""
    assert bindings.WHEEL.id == REFEREE
    path = ENGINES["llama"].referee_path
    assert engine.numeric_path({"AVX2": True}, "x86_64", variants.CANONICAL) == path
    assert is_referee(REFEREE, REFEREE, path)
    assert not is_referee(REFEREE, REFEREE, path.replace("q8_0", "f16"))


def test_a_score_is_a_function_of_the_answer_alone(monkeypatch: pytest.MonkeyPatch):
    """Other threads, another batch size and another history give the same integers and the same bits of logits."""
    one = open_referee(REFEREE)
    try:
        asked = Ask(one.write_prompt(bytes(16), 12), 6, 800, bytes(32))
        claimed = one.answer(asked).output.tokens
        shifted = (*claimed[1:], claimed[0])
        honest, false = one.score(asked, claimed), one.score(asked, shifted)
        assert not any(honest.deficits)
        assert any(false.deficits)
    finally:
        one.close()
    monkeypatch.setattr(engine, "THREADS", 2)
    monkeypatch.setattr(engine, "steady_tokens", lambda _tensors: 3)
    other = LlamaEngine(weights.bundled())
    try:
        assert other.score(asked, shifted) == false  # nothing is in memory
        assert other.score(asked, claimed) == honest
        assert other.score(asked, shifted) == false  # and now the prompt is
    finally:
        other.close()


def test_a_machine_of_another_path_is_no_referee(monkeypatch: pytest.MonkeyPatch):
    """The wheel has the same version on every processor, and not the same bits."""
    monkeypatch.setattr(engine, "numeric_path", lambda *_: "aarch64-neon/fa1/kv-q8_0")
    with pytest.raises(EngineUnavailable, match="run the node on a machine that has it"):
        open_referee(REFEREE, BUNDLED)


@pytest.mark.parametrize(
    ("kinds", "tokens"),
    [
        ((Kind.Q4_1, Kind.Q8_0), TOKENS_MAX),
        ((Kind.Q8_0, Kind.Q4_K, Kind.Q6_K), K_QUANT_TOKENS),
        ((Kind.Q4_0, Kind.F16), 1),
        ((Kind.IQ4_XS,), 1),
        ((Kind.Q5_K,), 1),
        ((), TOKENS_MAX),
    ],
)
def test_the_least_steady_matrix_decides(kinds: tuple[Kind, ...], tokens: int):
    """Norms are vectors in F32, and count for nothing."""
    tensors = [Tensor(f"m{number}", (32, 32), int(kind), 0, 0) for number, kind in enumerate(kinds)]
    assert steady_tokens([Tensor("norm", (32,), int(Kind.F32), 0, 0), *tensors]) == tokens


def test_the_referee_takes_other_weights(tmp_path: Path):
    """Missing weights are an error that names the file."""
    with pytest.raises(EngineUnavailable, match=r"none\.gguf"):
        open_referee(REFEREE, EngineOpening(weights=tmp_path / "none.gguf"))
