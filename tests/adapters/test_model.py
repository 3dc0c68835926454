"""The model in PyTorch is that of llama.cpp, its bits repeat, and steps lower its loss."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.lora.adapter import decode_adapter
from p2pverify.engine.lora.model import LoraModel
from p2pverify.engine.lora.tools import LoraTools
from tests.adapters.conftest import find
from tests.support.lora import TEXTS

ROOT = Path(__file__).parents[2]
ASK = "from tests.adapters.conftest import rule_here; print(rule_here().lora.golden.hex())"
TEXT = "Long ago, tides were explained by the moon. Today we know that the sun has a part in them, too."


@pytest.fixture(scope="module")
def model(first: bytes) -> LoraModel:
    made = LoraModel(weights.bundled())
    made.take(decode_adapter(first))
    return made


def test_logits_are_near_those_of_llama_cpp(model: LoraModel) -> None:
    """The differences are those of llama.cpp's 8-bit activations and keys, so most greedy tokens are equal."""
    engine = LlamaEngine(weights.bundled(), expect_sha256=weights.SHA256)
    tokens = engine.encode_text(TEXT)
    theirs = np.stack([row.copy() for row in engine.rows(tokens, 0)])
    engine.close()
    ours = model.logits(tokens).detach().numpy()
    assert ours.shape == theirs.shape
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.1 * theirs.std()
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.85


def test_steps_lower_the_loss_on_other_texts(model: LoraModel, first: bytes, rule: TrainingRule) -> None:
    """In the first step only B has a gradient, and then A too."""
    tools = LoraTools(find)
    base = decode_adapter(first)
    rows = tools.read(base, TEXTS, rule).rows
    model.take(base)
    before = model.losses(rows[8:])
    model.step(rows[:2], 0.25, 0.0)
    moved = model.weights() - base.weights
    for _, _, b in base.moved(moved).matrices():
        assert b.any()
    for (_, a, _), (_, first_a, _) in zip(base.moved(moved).matrices(), base.matrices(), strict=True):
        assert np.abs(a - first_a).max() <= 1  # the nearest float of an integer
    model.step(rows[2:4], 0.25, 0.0)
    assert sum(model.losses(rows[8:])) < sum(before) - 4 * 100_000


def test_a_decay_alone(model: LoraModel, first: bytes) -> None:
    """A row of one token has no loss and no gradient; the decay shrinks all numbers."""
    base = decode_adapter(first)
    model.take(base)
    assert model.losses([(5,)]) == [0]
    model.step([(5,)], 2.0, 0.5)
    assert np.abs(2 * model.weights() - base.weights).max() <= 2


def test_bits_repeat_in_another_process(rule: TrainingRule) -> None:
    """The proof of the class is equal; with other instructions it is another one."""
    proofs = []
    for setting in ({}, {"ATEN_CPU_CAPABILITY": "default"}):
        run = subprocess.run(
            [sys.executable, "-c", ASK], cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        proofs.append(run.stdout.strip())
    assert rule.lora is not None
    assert proofs[0] == rule.lora.golden.hex() != proofs[1]
