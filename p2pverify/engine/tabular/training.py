"""One contributor's part of a round: training from the base over its own rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import SGD, TrainingRule
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import digest, sha256
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.noise import private_step
from p2pverify.engine.tabular.numbers import Ints
from p2pverify.engine.tabular.sgd import STEPS_MAX, batches, step, step_count
from p2pverify.engine.tabular.update import clipped, update_digest

STEP_DOMAIN = "p2pverify/training/step/1"


@dataclass(frozen=True, eq=False)
class Run:
    """A training: the model after the last step, the update, and a leaf (32 B) for each step.

    The update is the change of the weights, shrunk to the norm that the rule allows.
    """

    model: TabularModel
    update: Ints
    leaves: tuple[bytes, ...]

    @property
    def update_digest(self) -> bytes:
        """SHA-256 (32 B) of the canonical bytes of the update."""
        return update_digest(self.update)

    @property
    def steps_root(self) -> bytes:
        """The Merkle root (32 B) over the leaves."""
        return merkle.root(self.leaves)


def train(base: TabularModel, rows: Rows, rule: TrainingRule, seed: bytes, numbers: Sequence[int] | None = None) -> Run:
    """Train over rows by a rule. `numbers` are those of the rows in their data set, ascending; 0, 1, ... without them.

    A row's number decides its place in the order. So a training without some rows is that of a data set that never had
    them.

    The seed (32 B) of tabular-sgd/1 is that of the round and the contributor, from which the order of the rows follows.
    The seed of tabular-dp/1 must be a secret of the contributor and used once, because who knows it can take the noise
    away again.

    Raises ValueError if there are no rows or too many, or if base and rows do not fit the rule.
    """
    check_fits(base, rule)
    check_rows(base, rows)
    own: NDArray[np.intp] = np.arange(len(rows)) if numbers is None else np.array(numbers, np.intp)
    if rule.trainer != SGD:
        models = [private_step(base, rows, rule, seed)]
    else:
        if step_count(len(rows), rule) > STEPS_MAX:
            raise ValueError(f"{len(rows)} rows take more than {STEPS_MAX} steps")
        models = [base]
        for index in batches(own, rule, seed):
            models.append(step(models[-1], rows.taken(index), rule))
        models = models[1:]
    update = clipped(models[-1].weights - base.weights, rule.clip_q16)
    return Run(models[-1], update, tuple(step_leaf(number, model) for number, model in enumerate(models)))


def step_leaf(number: int, model: TabularModel) -> bytes:
    """The leaf (32 B) of a step, counted from 0, after which the model has these weights."""
    return digest([STEP_DOMAIN, number, sha256(model.weights_bytes())])


def check_fits(base: TabularModel, rule: TrainingRule) -> None:
    """Raises ValueError if a model is not one of the rule's line."""
    if (base.schema.id, base.hidden) != (rule.schema, rule.hidden):
        raise ValueError("the model has another schema or another number of hidden units than the rule")


def check_rows(base: TabularModel, rows: Rows) -> None:
    """Raises ValueError if rows are not some of the model's schema."""
    if len(rows) < 1 or rows.features.shape != (len(rows), len(base.schema.features)):
        raise ValueError("there are no rows, or they have another number of features than the schema")
    if rows.features.dtype != np.int16 or rows.labels.dtype != np.uint8 or rows.features.min() == -(2**15):
        raise ValueError("rows have numbers of other types, or -32768")
    if rows.labels.max() >= len(base.schema.labels):
        raise ValueError("rows have a label that the schema does not have")
