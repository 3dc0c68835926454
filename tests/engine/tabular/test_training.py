"""One contributor's training: equal to the second implementation, and false steps are found."""

from dataclasses import replace

import numpy as np
import pytest

from p2pverify.engine.tabular.model import Rows, TabularModel, initial
from p2pverify.engine.tabular.rerun import rerun
from p2pverify.engine.tabular.sgd import step_count
from p2pverify.engine.tabular.training import train
from p2pverify.engine.tabular.update import is_within
from tests.engine.tabular.examples import SEED, listed, rows_of, ruled
from tests.support import tabular
from tests.support.datasets import SCHEMA


@pytest.mark.parametrize("hidden", [0, 3])
def test_a_run_is_that_of_the_second_implementation(hidden: int) -> None:
    """Weights, update and root of the steps agree, with and without a hidden layer, and with a tight clip."""
    rule, base, rows = ruled(hidden=hidden, epochs=2, batch=7), initial(SCHEMA, hidden), rows_of(30, 1)
    for clip in (3 << 16, 5000):
        run = train(base, rows, replace(rule, clip_q16=clip), SEED)
        net = tabular.Net(base.weights.tolist(), 2, hidden, 2)
        trained, update, root = tabular.train(net, listed(rows), replace(rule, clip_q16=clip), SEED)
        assert (run.model.weights.tolist(), run.update.tolist()) == (trained.flat(), update)
        assert (run.steps_root, len(run.leaves)) == (root, 8)
        assert is_within(run.update, clip)


def test_training_lowers_the_loss() -> None:
    """A run over rows that can be learned halves the loss on other rows."""
    for hidden in (0, 8):
        base, other = initial(SCHEMA, hidden), rows_of(60, 2)
        run = train(base, rows_of(120, 1), ruled(hidden=hidden, clip_q16=64 << 16, epochs=8), SEED)
        assert 2 * run.model.losses(other).sum() < base.losses(other).sum()


def test_steps() -> None:
    """Rows that do not fill a batch are left out, unless there are no others; each epoch has its own order."""
    rule, base = ruled(batch=16, epochs=3), initial(SCHEMA)
    for count, steps in ((1, 3), (16, 3), (33, 6)):
        assert len(train(base, rows_of(count, 1), rule, SEED).leaves) == step_count(count, rule) == steps


@pytest.mark.parametrize(
    ("change", "first"),
    [("label", None), ("rate", 0), ("seed", 0), ("epochs", 6), ("base", 0), ("longer", 12), ("none", None)],
)
def test_a_false_run_is_found_at_its_first_false_step(change: str, first: int | None) -> None:
    """A rerun names the first step that the rows and the rule do not give."""
    rule, base, rows = ruled(batch=8, epochs=4), initial(SCHEMA), rows_of(24, 1)
    false_rule, false_base, false_rows, false_seed = rule, base, rows, SEED
    match change:
        case "label":
            labels = rows.labels.copy()
            labels[5] ^= 1
            false_rows = Rows(rows.features, labels)
            place = tabular.order(b"p2pverify/training/order/1\0", SEED, 0, 24).index(5)
            first = place // 8
        case "rate":
            false_rule = replace(rule, lr_q16=rule.lr_q16 + 64)
        case "seed":
            false_seed = bytes(32)
        case "epochs":
            false_rule = replace(rule, epochs=2)
        case "longer":
            false_rule = replace(rule, epochs=5)
        case "base":
            false_base = TabularModel(SCHEMA, 0, base.weights + 1)
    claimed = train(false_base, false_rows, false_rule, false_seed)
    found = rerun(base, rows, rule, SEED, claimed.leaves)
    assert found.first_false == first
    assert found.run.steps_root == train(base, rows, rule, SEED).steps_root
    assert (found.run.steps_root == claimed.steps_root) is (first is None)


def test_what_does_not_fit_is_refused() -> None:
    """Rows or a base of another schema, no rows, too many steps, and numbers that no row has."""
    rule, base, rows = ruled(), initial(SCHEMA), rows_of(20, 1)
    low, high = rows.features.copy(), rows.labels.copy()
    low[0, 0], high[0] = -(2**15), 2
    for other in (
        rows.taken(slice(0)),
        Rows(rows.features[:, :1], rows.labels),
        Rows(rows.features.astype(np.int64), rows.labels),
        Rows(low, rows.labels),
        Rows(rows.features, high),
    ):
        with pytest.raises(ValueError, match="rows"):
            train(base, other, rule, SEED)
    with pytest.raises(ValueError, match="more than 4096 steps"):
        train(base, rows_of(65, 1), ruled(batch=1, epochs=64), SEED)
    with pytest.raises(ValueError, match="another schema"):
        train(base, rows, replace(rule, schema=bytes(32)), SEED)
    with pytest.raises(ValueError, match="hidden units"):
        train(base, rows, replace(rule, hidden=1), SEED)
