"""Rounds of a language model, as far as they do not compute in floats: a stand-in computes instead of PyTorch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from p2pverify.core.contract.history.training import MEAN, OPEN, TrainingRule
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.training.result import UpdateFinding
from p2pverify.core.training.shown import split_rows
from p2pverify.engine.lora import tools
from p2pverify.engine.lora.adapter import Adapter, initial
from p2pverify.engine.lora.tools import LOSS_STEP, LoraFault, LoraTools, LoraTrainer, TokenRows
from tests.engine.lora.test_adapter import SHAPE
from tests.support.lora import AUTHORS, TEXTS, Owner, parent_of, round_of
from tests.support.tiny_model import Tiny, write
from tests.support.training import ADAPTED, RULE, with_lora

EPOCHS = {**ADAPTED, "contributors": (), "aggregate": MEAN, "f": 0, "held_rows": 2, "batch": 2, "epochs": 4}


class StandIn:
    """Counts and sums instead of floats: a step adds the sum of its tokens to all numbers of the adapter."""

    vocab_tokens = 256

    def __init__(self) -> None:
        self.adapter: Adapter | None = None
        self.moved = 0
        self.fails = False

    def take(self, adapter: Adapter) -> None:
        if self.fails:
            raise RuntimeError("out\nof memory")
        self.adapter, self.moved = adapter, 0

    def step(self, rows: Sequence[Sequence[int]], rate: float, decay: float) -> None:
        self.moved += sum(map(sum, rows))

    def weights(self) -> np.ndarray:
        assert self.adapter is not None
        return self.adapter.weights + self.moved

    def weights_bytes(self) -> bytes:
        return self.weights().tobytes()

    def losses(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """The more the adapter has moved, the less."""
        assert self.adapter is not None
        moved = int(self.adapter.weights.sum()) - int(initial(self.adapter.file, SHAPE).weights.sum())
        return [4_000_000 - moved // SHAPE.count * 10 - len(row) for row in rows]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr(LoraTools, "_model", lambda self, base: made)
    monkeypatch.setattr(tools, "numeric_path", lambda: "stand-in")

    def read(self: LoraTools, base: Adapter, rows: Sequence[bytes], rule: object) -> TokenRows:
        return TokenRows(tuple(tuple(tools._TEXTS.text(row).encode()[: rule.lora.tokens]) for row in rows))  # type: ignore[attr-defined]

    monkeypatch.setattr(LoraTools, "read", read)
    return made


class Lab:
    """A tiny model, its trainer, and a rule that names the class of the stand-in."""

    def __init__(self, path: Path) -> None:
        self.file = sha256(path.read_bytes())
        self.find: Callable[[bytes], Path | None] = {self.file: path}.get
        lora = replace(ADAPTED["lora"], rank=SHAPE.rank, tokens=8)
        self.rule = replace(RULE, **{**EPOCHS, "lora": lora})
        known = LoraTools(self.find)
        self.base = known.first(path, self.file, SHAPE.rank)
        self.rule = replace(self.rule, lora=replace(lora, golden=known.golden(self.base, self.rule)))
        self.trainer = LoraTrainer(self.rule, self.find)
        self.parent = parent_of(self.file)
        self.path = path

    def owners(self, rule: TrainingRule) -> list[Owner]:
        first = self.trainer.first(self.path, self.file)
        assert first is not None
        return [Owner(self.trainer, first, rule, at, TEXTS[4 * at : 4 * at + 4]) for at in range(3)]

    def findings(self, owners: list[Owner], rule: TrainingRule) -> list[UpdateFinding]:
        return [row.finding for row in round_of(self.trainer, owners, rule, self.parent).result.rows]


@pytest.fixture
def lab(stand_in: StandIn, tmp_path: Path) -> Lab:
    return Lab(write(tmp_path / "tiny.gguf", Tiny()))


def test_the_first_bytes(lab: Lab, tmp_path: Path) -> None:
    """Rounds begin with the adapter that changes nothing; another file has none."""
    assert lab.trainer.first(lab.path, lab.file) == lab.base.encode()
    assert lab.trainer.first(lab.path, bytes(32)) is None
    assert lab.trainer.update_bytes(lab.base.encode()) == 19 + 4 * SHAPE.count
    other = write(tmp_path / "qwen2.gguf", Tiny(architecture="qwen2"))
    with pytest.raises(LoraFault, match="architecture llama"):
        lab.trainer.first(other, sha256(other.read_bytes()))


@pytest.mark.parametrize("mode", [OPEN, 1])
def test_a_round(lab: Lab, mode: int) -> None:
    """The new weights are an adapter. The manifest names the merged file, which follows from it."""
    rule = replace(lab.rule, mode=mode)
    found = round_of(lab.trainer, lab.owners(rule), rule, lab.parent)
    assert [row.finding for row in found.result.rows] == [UpdateFinding.RIGHT] * 3
    assert found.weights is not None
    assert found.manifest is not None
    assert sha256(found.weights) == found.result.weights != found.manifest.weights
    served = lab.trainer.served(found.weights)
    assert served is not None
    assert sha256(served) == found.manifest.weights
    assert lab.trainer.manifest(found.weights, lab.parent, lab.parent.digest) == found.manifest
    assert (found.manifest.parent, found.manifest.tokenizer) == (lab.parent.digest, lab.parent.tokenizer)
    assert found.result.gain > 0
    assert found.result.gain % LOSS_STEP == 0
    assert len({row.author for row in found.result.rows if row.credit > 0}) == len(AUTHORS[:3])


def test_a_step_less_is_found_where_rows_are_open(lab: Lab) -> None:
    rule = replace(lab.rule, mode=OPEN)
    owners = lab.owners(rule)
    owners[1].train(with_lora(rule, steps=1))
    assert lab.findings(owners, rule) == [UpdateFinding.RIGHT, UpdateFinding.FALSE, UpdateFinding.RIGHT]
    hidden = lab.owners(lab.rule)
    hidden[1].train(with_lora(lab.rule, steps=1))
    assert lab.findings(hidden, lab.rule) == [UpdateFinding.RIGHT] * 3


def test_a_machine_of_another_class(lab: Lab) -> None:
    """It judges nothing. It trains where rows are hidden, and not where its update would be held against it."""
    other = with_lora(lab.rule, golden=bytes(32))
    with pytest.raises(LoraFault, match=r"path stand-in, .* rule's path torch-2"):
        round_of(lab.trainer, lab.owners(lab.rule), other, lab.parent)
    assert lab.owners(other)[0].bytes.rows == 2
    with pytest.raises(LoraFault):
        lab.owners(replace(other, mode=OPEN))


def test_what_the_proof_covers(lab: Lab) -> None:
    """All that changes the bits of a step. It is of the file, and neither of the version nor of the number of steps."""
    known = LoraTools(lab.find)
    right = known.golden(lab.base, lab.rule)
    assert known.golden(lab.base.moved(np.ones(SHAPE.count, np.int64)), lab.rule) == right
    changes = [replace(lab.rule, batch=3), with_lora(lab.rule, tokens=9)]
    assert len({known.golden(lab.base, each) for each in changes} | {right}) == 3
    assert known.golden(lab.base, with_lora(lab.rule, steps=1)) == right


def test_a_fault_of_this_machine_is_nobody_elses(lab: Lab, stand_in: StandIn) -> None:
    """If PyTorch fails, or the file is gone, nothing is said of anybody's update."""
    rule = replace(lab.rule, mode=OPEN)
    owners = lab.owners(rule)
    stand_in.fails = True
    with pytest.raises(LoraFault, match="out of memory"):
        round_of(lab.trainer, owners, rule, lab.parent)
    stand_in.fails = False
    gone = LoraTrainer(rule, lambda digest: None)
    with pytest.raises(LoraFault, match="does not have the file"):
        round_of(gone, owners, rule, lab.parent)


def test_rows_that_are_no_texts(lab: Lab) -> None:
    """A committed row that is no text is broken, as a row that the schema lacks."""
    rule = replace(lab.rule, mode=OPEN)
    owners = lab.owners(rule)
    with pytest.raises(DecodeError, match="text"):
        Owner(lab.trainer, lab.base.encode(), rule, 1, [b"\xff"] * 4)
    owners[1].show([b"\xff", *TEXTS[:3]])
    assert lab.findings(owners, rule)[1] is UpdateFinding.BROKEN


@pytest.mark.parametrize("mode", [OPEN, 1])
def test_an_erased_text_is_absent(lab: Lab, mode: int) -> None:
    """Nobody trains on it or is judged by it, and whatever it said, the update is the same."""
    rule = replace(lab.rule, mode=mode)
    owners, other = lab.owners(rule), lab.owners(rule)[1]
    own, drawn = split_rows(owners[1].drawn)
    whole = owners[1].bytes.update
    other.show([b"another one" if place in own[:1] else text for place, text in enumerate(TEXTS[4:8])])
    for each in (owners[1], other):
        each.erase({own[0], drawn[0]})
    assert owners[1].bytes.update == other.bytes.update != whole
    assert owners[1].bytes.rows == len(own) - 1
    assert lab.findings(owners, rule) == [UpdateFinding.RIGHT] * 3
    owners[1].drawn = replace(owners[1].drawn, erased=0)
    assert lab.findings(owners, rule)[1] is UpdateFinding.BROKEN


def test_an_owner_whose_drawn_texts_are_all_erased_judges_nobody(lab: Lab) -> None:
    owners = lab.owners(lab.rule)
    owners[1].erase(set(split_rows(owners[1].drawn)[1]))
    assert lab.findings(owners, lab.rule) == [UpdateFinding.RIGHT] * 3
    owners[1].erase(set(range(4)) - {split_rows(owners[1].drawn)[0][0]})
    with pytest.raises(ValueError, match="no rows"):
        owners[1].erase(set(range(4)))


def test_adapters_of_another_rank(lab: Lab) -> None:
    rule = with_lora(lab.rule, rank=8)
    with pytest.raises(ValueError, match="rank"):
        lab.owners(rule)
    with pytest.raises(ValueError, match="rank"):
        round_of(lab.trainer, lab.owners(lab.rule), rule, lab.parent)
