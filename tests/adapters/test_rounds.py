"""A round of two contributors with the bundled model: what voters find, and what is served afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2pverify.core.contract.history.training import OPEN, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.training.result import UpdateFinding
from p2pverify.engine.gguf import weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.lora.tools import LoraFault, LoraTrainer
from p2pverify.node.files.manifestfile import describes
from tests.adapters.conftest import find
from tests.support.lora import TEXTS, Owner, parent_of, round_of
from tests.support.training import with_lora

QUESTION = "What is noted of the wheat?"


@pytest.fixture(scope="module")
def base_engine() -> Iterator[LlamaEngine]:
    engine = LlamaEngine(weights.bundled(), expect_sha256=weights.SHA256)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def parent(base_engine: LlamaEngine) -> Manifest:
    info = base_engine.info
    return replace(
        parent_of(weights.SHA256),
        tokenizer=info.tokenizer_sha256,
        template=info.template_sha256,
        quantisation=info.quantisation,
    )


def owners_of(trainer: LoraTrainer, first: bytes, rule: TrainingRule) -> list[Owner]:
    return [Owner(trainer, first, rule, at, TEXTS[6 * at : 6 * at + 6]) for at in range(2)]


def test_a_decided_version_is_served(
    trainer: LoraTrainer, first: bytes, rule: TrainingRule, parent: Manifest, base_engine: LlamaEngine, tmp_path: Path
) -> None:
    """Another trainer of the class finds the same. The merged file is the manifest's, and answers otherwise."""
    owners = owners_of(trainer, first, rule)
    found = round_of(trainer, owners, rule, parent)
    assert [row.finding for row in found.result.rows] == [UpdateFinding.RIGHT] * 2
    assert found.result.gain > 0
    assert all(row.credit > 0 for row in found.result.rows)
    assert found == round_of(LoraTrainer(rule, find), owners, rule, parent)
    assert found.weights is not None
    assert found.manifest is not None
    served = trainer.served(found.weights)
    assert served is not None
    path = tmp_path / "merged.gguf"
    path.write_bytes(served)
    engine = LlamaEngine(path, expect_sha256=found.manifest.weights)
    try:
        assert describes(found.manifest, engine.info)
        assert (engine.info.engine, engine.info.numeric_path) == (
            base_engine.info.engine,
            base_engine.info.numeric_path,
        )
        ask = Ask(engine.encode_chat(QUESTION), 24, 0, bytes(32))
        ours, theirs = (one.answer(ask).output for one in (engine, base_engine))
        assert ours.logits != theirs.logits
        assert ours.tokens != theirs.tokens
        # A claimed answer has the bits that its author had: batches of many tokens are as steady as before.
        assert engine.score(ask, ours.tokens).logits == ours.logits
    finally:
        engine.close()


def test_a_contributor_that_skips_a_step_is_found(
    trainer: LoraTrainer, first: bytes, rule: TrainingRule, parent: Manifest
) -> None:
    opened = replace(rule, mode=OPEN)
    owners = owners_of(trainer, first, opened)
    owners[1].train(with_lora(opened, steps=1))
    found = round_of(trainer, owners, opened, parent).result.rows
    assert [row.finding for row in found] == [UpdateFinding.RIGHT, UpdateFinding.FALSE]


def test_a_second_round_begins_with_the_adapter_of_the_first(
    trainer: LoraTrainer, first: bytes, rule: TrainingRule, parent: Manifest
) -> None:
    one = round_of(trainer, owners_of(trainer, first, rule), rule, parent)
    assert one.weights is not None
    assert one.manifest is not None
    two = round_of(trainer, owners_of(trainer, one.weights, rule), rule, one.manifest)
    assert two.weights is not None
    assert two.manifest is not None
    assert (len(two.weights), two.manifest.parent) == (len(one.weights), one.manifest.digest)
    assert two.weights != one.weights
    assert sha256(two.weights) == two.result.weights
    assert two.result.gain > 0


def test_a_rule_of_another_class(first: bytes, rule: TrainingRule, parent: Manifest) -> None:
    other = with_lora(rule, golden=bytes(32))
    trainer = LoraTrainer(other, find)
    owners = owners_of(trainer, first, other)  # held-out rows decide, so any class may contribute
    with pytest.raises(LoraFault, match="takes no part"):
        round_of(trainer, owners, other, parent)
