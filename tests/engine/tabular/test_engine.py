"""The engine serves a tabular model as others serve language models, and known cheats lie with it unchanged."""

from pathlib import Path

import numpy as np
import pytest

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import measure
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.errors import EngineUnavailable, WeightsError
from p2pverify.engine.registry import EngineOpening, open_engine, open_referee
from p2pverify.engine.tabular.engine import ENGINE, TabularEngine
from p2pverify.engine.tabular.manifest import tabular_manifest
from p2pverify.engine.tabular.model import initial
from p2pverify.engine.tabular.numbers import softmax
from p2pverify.engine.tabular.training import train
from p2pverify.node.engines.selftest import answer_golden, golden_questions, is_steady
from tests.engine.tabular.examples import SEED, rows_of, ruled
from tests.support.datasets import SCHEMA

MODEL = train(initial(SCHEMA), rows_of(60, 1), ruled(epochs=1), SEED).model
HONEST = TabularEngine(MODEL)
KEY = bytes(range(32))


def asked(number: int, *, tokens_max: int = 16, milli: int = 800, key: bytes = KEY) -> Ask:
    return Ask(HONEST.write_prompt(number.to_bytes(16, "big"), 2), tokens_max, milli, key)


def test_prompts_come_from_the_grid() -> None:
    """Numbers lie between the ends of the grid, differ by seed, and repeat."""
    prompts = [HONEST.write_prompt(bytes([number]) * 16, 5) for number in range(100)]
    assert len(set(prompts)) == 100
    assert prompts[3] == TabularEngine(initial(SCHEMA)).write_prompt(b"\3" * 16, 2)
    for at, feature in enumerate(SCHEMA.features):
        cells = [prompt[at] - 32768 for prompt in prompts]
        assert feature.grid[0] <= min(cells) < -4000 < 4000 < max(cells) <= feature.grid[-1]
    with pytest.raises(ValueError, match="16 bytes"):
        HONEST.write_prompt(b"", 5)
    with pytest.raises(ValueError, match="2 tokens"):
        HONEST.write_prompt(bytes(16), 1)


def test_answers() -> None:
    """The label of the greatest logit at temperature 0, a drawn one otherwise; then the greatest probability."""
    labels = set()
    for number in range(40):
        ask = asked(number, milli=0)
        cells = np.array([[token - 32768 for token in ask.prompt]], np.int16)
        logits = MODEL.forward(cells)[1]
        share = int(softmax(logits)[0].max())
        output = HONEST.answer(ask).output
        assert (output.tokens, output.finish) == (
            (int(logits.argmax()), 65536 + (share * 1000 + 32768) // 65536),
            "stop",
        )
        assert HONEST.answer(asked(number, milli=0, key=bytes(32))).output == output
        short = HONEST.answer(asked(number, milli=0, tokens_max=1)).output
        assert (short.tokens, short.finish) == (output.tokens[:1], "length")
        assert short.logits != output.logits
        labels |= {HONEST.answer(asked(number, key=bytes([k]) * 32)).output.tokens[0] for k in range(8)}
    assert labels == {0, 1}


def test_drawn_labels_have_their_probability() -> None:
    """At temperature 1 the share of a label over many keys is what the model says."""
    ask = next(
        each for each in map(asked, range(200)) if 65536 + 550 < HONEST.answer(each).output.tokens[1] < 65536 + 750
    )
    best = HONEST.answer(Ask(ask.prompt, 2, 0, KEY)).output.tokens
    keys = [number.to_bytes(32, "big") for number in range(1500)]
    share = sum(HONEST.answer(Ask(ask.prompt, 2, 1000, key)).output.tokens[0] == best[0] for key in keys) / 1500
    assert abs(share - (best[1] - 65536) / 1000) < 0.05


def test_scores() -> None:
    """An own answer has no deficit, and the digest of its logits; another label or probability has one."""
    for number in range(30):
        ask = asked(number)
        output = HONEST.answer(ask).output
        scores = HONEST.score(ask, output.tokens)
        assert (scores.deficits, scores.best, scores.logits) == ((0, 0), output.tokens, output.logits)
        assert scores.ends == (False, True)
        assert measure(scores.deficits, scores.ends, output.finish, 16).total == 0
        assert is_steady(HONEST, ask, output)
        other = (1 - output.tokens[0], output.tokens[1] ^ 1)
        scores = HONEST.score(ask, other)
        assert scores.deficits[0] > 0 < scores.deficits[1]
        assert scores.best == output.tokens
    assert HONEST.score(asked(1), (7, 7, 70_000 - 4000)).deficits == (2_000_000,) * 3
    for wrong in ((), (70_000,), (-1,)):
        with pytest.raises(ValueError):
            HONEST.score(asked(1), wrong)


def test_questions_that_are_none() -> None:
    """A prompt that is no row, no tokens, and a question beyond the context."""
    row = asked(1).prompt
    for prompt, tokens_max, milli in (
        ((), 2, 0), (row[:1], 2, 0), ((*row, 1), 2, 0), ((0, row[1]), 2, 0), ((65536, row[1]), 2, 0),
        (row, 0, 0), (row, 8191, 0), (row, 2, -1),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            HONEST.answer(Ask(prompt, tokens_max, milli, KEY))


def test_texts() -> None:
    """A row and an answer are read back from their texts; what is no row is refused with what to write."""
    for number in range(20):
        prompt = asked(number).prompt
        assert HONEST.encode_chat(HONEST.decode(prompt)) == prompt
        tokens = HONEST.answer(asked(number)).output.tokens
        assert HONEST.encode_text(HONEST.decode(tokens)) == tokens
    assert HONEST.encode_chat("mean texture = 23.591; ") == (32768, 32768 + 4096)
    assert HONEST.encode_chat("mean radius=17.651 mm") == (32768 + 4096, 32768)
    assert HONEST.encode_chat("Tell me something interesting.", "Be brief.") == (32768, 32768)
    assert HONEST.decode((1, 65536 + 973)) == "malignant 0.973"
    assert (HONEST.encode_text("malignant"), HONEST.decode((1,)), HONEST.decode((1, 1, 1))) == (
        (1,),
        "malignant",
        "1 1 1",
    )
    for wrong in ("radius = 1", "mean radius = much", "mean radius =", "mean radius = 1e5", "=1", "x" * 40_000 + "="):
        with pytest.raises(ValueError):
            HONEST.encode_chat(wrong)
    with pytest.raises(ValueError, match="vocabulary"):
        HONEST.decode((70_000,))


@pytest.mark.parametrize("kind", ["canned", "wrong-seed", "garbage", "truncate"])
def test_cheats_lie_with_it_unchanged(kind: str, tmp_path: Path) -> None:
    """Their answers to sampled questions are false, and they describe themselves as honest."""
    cheat = make_cheat(CheatSpec(kind), TabularEngine(MODEL), tmp_path)
    assert cheat.info == HONEST.info

    def false(ask: Ask) -> bool:
        told, true = cheat.answer(ask).output, HONEST.answer(ask).output
        return (told.tokens, told.finish, told.logits) != (true.tokens, true.finish, true.logits)

    lies = sum(false(asked(number, tokens_max=2)) for number in range(60))
    assert lies == 60 if kind != "wrong-seed" else 5 <= lies < 60
    assert sum(false(asked(number, tokens_max=24, milli=0)) for number in range(20)) == (
        0 if kind == "wrong-seed" else 20
    )


def test_it_is_opened_by_its_file(tmp_path: Path) -> None:
    """The registry opens it as an engine and as the referee; a wrong file or none says what to do."""
    path = tmp_path / "rows.tabular"
    path.write_bytes(MODEL.encode())
    opened = open_engine("tabular", EngineOpening(weights=path, expect_sha256=MODEL.digest))
    assert (opened.info.weights_sha256, opened.info.engine, opened.info.model) == (MODEL.digest, ENGINE, "rows")
    assert opened.answer(asked(1)) == HONEST.answer(asked(1))
    assert open_referee(ENGINE, EngineOpening(weights=path)).info.numeric_path == "integer"
    with pytest.raises(EngineUnavailable, match="--weights"):
        open_engine("tabular")
    with pytest.raises(EngineUnavailable, match="one numeric path"):
        open_engine("tabular", EngineOpening(weights=path, variant="avx2"))
    with pytest.raises(WeightsError, match="not the expected"):
        open_engine("tabular", EngineOpening(weights=path, expect_sha256=bytes(32)))
    with pytest.raises(WeightsError, match="cannot read"):
        open_engine("tabular", EngineOpening(weights=tmp_path / "none"))
    path.write_bytes(b"GGUF")
    with pytest.raises(WeightsError, match="no file of a tabular model"):
        open_engine("tabular", EngineOpening(weights=path))


def test_golden_answers() -> None:
    """Another engine with the manifest's questions gives the manifest's answers; other weights do not."""
    manifest = tabular_manifest(MODEL, "rows", "MIT", "initial")
    golden = manifest.golden
    answers = answer_golden(TabularEngine(MODEL), golden.questions)
    assert len(golden.questions) == 4 == len({each.prompt for each in golden.questions})
    assert golden.paths[0].answers == answers != answer_golden(TabularEngine(initial(SCHEMA)), golden.questions)
    assert golden.questions != tabular_manifest(initial(SCHEMA), "rows", "MIT", "initial").golden.questions
    assert len(answer_golden(HONEST, golden_questions(HONEST))) == 4
    assert isinstance(HONEST.answer(golden.questions[0]).output, Output)
