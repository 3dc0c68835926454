"""The rule of the bundled model's rounds on this machine, and its trainer."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.history.lora import LORA, LoraRule
from p2pverify.core.contract.history.training import HELD_OUT, MEAN, TrainingRule
from p2pverify.engine.gguf import weights
from p2pverify.engine.lora.model import numeric_path
from p2pverify.engine.lora.tools import LoraTools, LoraTrainer
from tests.support.lora import SCHEMA
from tests.support.training import RULE

RANK, TOKENS, STEPS, BATCH, LR = 8, 48, 2, 1, 0.25


def find(digest: bytes):
    return weights.bundled() if digest == weights.SHA256 else None


def rule_here() -> TrainingRule:
    """A rule that names the class of this machine. Two steps of one text are enough to see an effect."""
    lora = LoraRule(RANK, TOKENS, STEPS, numeric_path(), bytes(32))
    rule = replace(
        RULE,
        trainer=LORA,
        lora=lora,
        mode=HELD_OUT,
        schema=SCHEMA.id,
        contributors=(),
        held_rows=2,
        batch=BATCH,
        epochs=4,
        lr_q16=int(LR * 65536),
        decay_q16=0,
        clip_q16=8 << 16,
        aggregate=MEAN,
        f=0,
    )
    tools = LoraTools(find)
    golden = tools.golden(tools.first(weights.bundled(), weights.SHA256, RANK), rule)
    return replace(rule, lora=replace(lora, golden=golden))


@pytest.fixture(scope="session")
def rule() -> TrainingRule:
    return rule_here()


@pytest.fixture(scope="session")
def trainer(rule: TrainingRule) -> LoraTrainer:
    return LoraTrainer(rule, find)


@pytest.fixture(scope="session")
def first(trainer: LoraTrainer) -> bytes:
    """The adapter with which the rounds of the bundled model begin."""
    found = trainer.first(weights.bundled(), weights.SHA256)
    assert found is not None
    return found
