"""False trainings: each does what its name says, and shows the rows that it committed."""

from dataclasses import replace

import numpy as np
import pytest

from p2pverify.core.contract.history.training import HELD_OUT, MEAN, OPEN
from p2pverify.core.training.result import UpdateFinding
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.cheats.training import LATE_REFUSALS, TRAININGS, lying_trainer
from p2pverify.engine.tabular.update import decode_update
from p2pverify.engine.trainer import TabularTrainer
from p2pverify.node.training.ports import Trainer
from tests.engine.tabular.examples import ruled
from tests.engine.test_trainer import BASE, MODEL, PARENT, Owner, erased_owner, judged

RULE = ruled(aggregate=MEAN, f=0, contributors=(), held_rows=4, mode=HELD_OUT, epochs=2)


def liar(kind: str) -> Trainer:
    return lying_trainer(CheatSpec(kind), TabularTrainer())


def owners(kind: str, mode: int) -> list[Owner]:
    """Four contributors, of which the last one lies."""
    rule = replace(RULE, mode=mode)
    found = [Owner(rule, at) for at in range(4)]
    found[3].bytes = liar(kind).train(found[3].order, BASE, found[3].rows)
    return found


@pytest.mark.parametrize("kind", ["poison-labels", "poison-sign", "boost", "free-rider"])
def test_a_useless_update_counts_and_earns_less_than_others(kind: str) -> None:
    """Nothing about it is provably false, because nobody sees the rows."""
    found = judged(replace(RULE, mode=HELD_OUT), owners(kind, HELD_OUT)).result.rows
    assert {row.finding for row in found} == {UpdateFinding.RIGHT}
    *honest, false = (row.credit for row in found)
    assert false <= 0 < min(honest)


@pytest.mark.parametrize("kind", ["poison-labels", "poison-sign", "boost", "free-rider", "short-training"])
def test_with_open_rows_every_lie_is_found(kind: str) -> None:
    """Every member trains again."""
    found = judged(replace(RULE, mode=OPEN), owners(kind, OPEN)).result.rows
    assert [row.finding for row in found] == [UpdateFinding.RIGHT] * 3 + [UpdateFinding.FALSE]


@pytest.mark.parametrize("kind", TRAININGS)
def test_it_shows_the_committed_rows_and_judges_honestly(kind: str) -> None:
    """Other rows would be found at once, erased ones are none that it has, and a false vote is a dissent of its own."""
    owner, false, honest = erased_owner(RULE, 1, [0, 7]), liar(kind), TabularTrainer()
    for _ in range(LATE_REFUSALS if kind == "late" else 0):
        with pytest.raises(ValueError, match="late"):
            false.train(owner.order, BASE, owner.rows)
    made = false.train(owner.order, BASE, owner.rows)
    assert (made.shown, made.rows) == (owner.bytes.shown, owner.bytes.rows)
    assert (made.update == owner.bytes.update) == (kind == "late")
    assert false.update_bytes(BASE) == len(made.update)
    weights = MODEL.encode()
    assert false.manifest(weights, PARENT, PARENT.digest) == honest.manifest(weights, PARENT, PARENT.digest)


def test_a_free_rider_gives_zeros() -> None:
    owner = Owner(RULE, 0)
    update = liar("free-rider").train(owner.order, BASE, owner.rows).update
    assert not decode_update(update, len(MODEL.weights), RULE.clip_q16).any()
    assert np.any(decode_update(owner.bytes.update, len(MODEL.weights), RULE.clip_q16))


def test_a_boosted_update_is_as_long_as_the_rule_allows() -> None:
    """And points the other way. One that is a little longer would count for nothing."""
    owner, rule = Owner(RULE, 0), RULE
    honest = decode_update(owner.bytes.update, len(MODEL.weights), rule.clip_q16)
    update = decode_update(liar("boost").train(owner.order, BASE, owner.rows).update, len(honest), rule.clip_q16)
    assert 0.999 * rule.clip_q16 < np.linalg.norm(update.astype(float)) <= rule.clip_q16
    assert np.all(np.sign(update) * np.sign(honest) <= 0)
    negated = decode_update(liar("poison-sign").train(owner.order, BASE, owner.rows).update, len(honest), rule.clip_q16)
    assert np.array_equal(negated, -honest)


def test_the_late_one_is_late_in_each_round() -> None:
    """Its refusals begin anew with the next round."""
    owner, false = Owner(RULE, 0), liar("late")
    for number in (1, 2):
        order = replace(owner.order, number=number)
        for _ in range(LATE_REFUSALS):
            with pytest.raises(ValueError, match="late"):
                false.train(order, BASE, owner.rows)
        assert false.train(order, BASE, owner.rows) == owner.bytes
