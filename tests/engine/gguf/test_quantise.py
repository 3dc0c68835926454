"""Cheaper models made from the promised one: the content of blocks, and a lying engine that runs these models."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from p2pverify.core.contract.output import Ask
from p2pverify.engine.cheats.base import CountedEngine
from p2pverify.engine.cheats.lies import HIDDEN_TEXT, prompted
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.models import served_by
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import weights
from p2pverify.engine.gguf.prune import reverse
from p2pverify.engine.gguf.quantise import EMBEDDING, FORMATS, requantise, three_bits
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.ports import Generated, Hear, unheard

KEY = bytes(range(32))
#: Sizes of the files that llama.cpp's own tool makes from the bundled model, for the formats that it has.
SIZES = {"q8_0": 144_811_072, "q5_0": 104_997_952, "q4_0": 91_726_912, "q3": 91_726_912}


def test_a_requantised_model_is_as_large_as_llama_cpps(tmp_path: Path) -> None:
    """Matrices have the format's type, other tensors and the metadata stay, and the head can be read again."""
    name, target = "q5_0", tmp_path / "made.gguf"
    requantise(weights.bundled(), target, name)
    before, after = read_head(weights.bundled()), read_head(target)
    assert target.stat().st_size == SIZES[name]
    assert after.tokenizer_sha256() == before.tokenizer_sha256()
    assert [(t.name, t.dimensions) for t in after.tensors] == [(t.name, t.dimensions) for t in before.tensors]
    changed = {new.kind for old, new in zip(before.tensors, after.tensors, strict=True) if old.kind != new.kind}
    assert changed == {int(FORMATS[name].kind)}
    kept = {tensor.name: tensor.kind for tensor in before.tensors}
    assert next(t for t in after.tensors if t.name == EMBEDDING).kind == kept[EMBEDDING]


def test_each_format_takes_the_room_that_it_takes_in_llama_cpp() -> None:
    """Files in two formats differ by the sizes of their matrices only."""
    head = read_head(weights.bundled())
    matrices = [tensor for tensor in head.tensors if len(tensor.dimensions) > 1 and tensor.name != EMBEDDING]
    room = {name: sum(form.place(t.name, t.dimensions).size for t in matrices) for name, form in FORMATS.items()}
    assert {name: size - SIZES["q5_0"] for name, size in SIZES.items()} == {
        name: size - room["q5_0"] for name, size in room.items()
    }


def test_three_bits_have_eight_levels() -> None:
    """Each block of 32 has at most eight values, one of them the greatest weight, and errors up to half a step."""
    rows = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    back = dequantize(three_bits(rows), GGMLQuantizationType.Q4_0)
    for block, made in zip(rows.reshape(-1, 32), back.reshape(-1, 32), strict=True):
        step = np.abs(block).max() / 4
        assert len(np.unique(made)) <= 8
        assert made[np.abs(block).argmax()] == pytest.approx(block[np.abs(block).argmax()], rel=1e-3)
        # Levels reach four steps on the side of the greatest weight, and three steps on the other side.
        inside = np.abs(block) <= 3 * step
        assert np.abs(made - block)[inside].max() <= step * 0.502
    assert not dequantize(three_bits(np.zeros((1, 32), np.float32)), GGMLQuantizationType.Q4_0).any()


def test_unknown_formats_and_files_are_refused(tmp_path: Path) -> None:
    """No file is left."""
    with pytest.raises(ValueError, match="q9"):
        requantise(weights.bundled(), tmp_path / "made.gguf", "q9")
    with pytest.raises(WeightsError):
        requantise(tmp_path / "nowhere.gguf", tmp_path / "made.gguf", "q4_0")
    with pytest.raises(WeightsError, match="reverse"):
        reverse(weights.bundled(), tmp_path / "made.gguf", range(20, 40))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "argument"), [("quantize", "q5_0"), ("other-model", ""), ("prefill-evidence", "")])
def test_a_real_engine_lies_with_other_weights(kind: str, argument: str, tmp_path: Path, llama: LlamaEngine) -> None:
    """The answer is another model's under the honest name, and weights that were made are used again."""
    prompt = llama.encode_chat("Why is the sky blue?")
    true = llama.answer(Ask(prompt, 12, 800, KEY)).output
    for _ in range(2 if kind == "quantize" else 1):
        cheat = make_cheat(CheatSpec(kind, argument), LlamaEngine(weights.bundled()), tmp_path)
        told = cheat.answer(Ask(prompt, 12, 800, KEY)).output
        assert cheat.info == llama.info
        cheat.close()
        assert (told.tokens, told.logits) != (true.tokens, true.logits)
        read = llama.score(Ask(prompt, len(told.tokens), 800, KEY), told.tokens)
        assert (told.logits == read.logits) is (kind == "prefill-evidence")
    (made,) = tmp_path.iterdir()
    assert made.suffix == ".gguf"


def test_another_tokenizers_answers_go_over_as_text(llama: LlamaEngine) -> None:
    """The tokens are of our vocabulary, have the other model's text, and are at most as many as requested."""
    other = ToyEngine()
    prompt = llama.encode_chat("why is the sky blue")
    told = served_by(llama, other)(Ask(prompt, 10, 800, KEY)).output
    own = other.answer(Ask(other.encode_chat("why is the sky blue"), 10, 800, KEY)).output
    assert told.tokens
    assert other.decode(own.tokens).startswith(llama.decode(told.tokens))
    assert told.logits == own.logits
    assert told.finish == ("length" if len(told.tokens) == 10 else "stop")


def test_hidden_instructions_are_the_system_message(llama: LlamaEngine) -> None:
    """They take the place of the template's own. A client's own system message stays, and is answered honestly."""
    asked: list[Ask] = []

    class Hears(CountedEngine):
        def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
            asked.append(ask)
            return super().answer(ask, hear)

    lie = prompted(Hears(llama))
    prompt, own = llama.encode_chat("hello"), llama.encode_chat("hello", "Be brief.")
    for each in (prompt, own):
        lie(Ask(each, 1, 0, KEY))
    assert [one.prompt for one in asked] == [llama.encode_chat("hello", HIDDEN_TEXT), own]
