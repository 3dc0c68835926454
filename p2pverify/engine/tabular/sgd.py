"""Stochastic gradient descent in integers: tabular-sgd/1. Each step is a function of weights, rows and the rule."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.history.training import ONE_Q16, TrainingRule
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.numbers import (
    ACTIVATION_MAX,
    GRADIENT_MAX,
    ONE_Q12,
    WEIGHT_MAX,
    Ints,
    matmul,
    order_of,
    rounded,
    softmax,
)

ORDER = b"p2pverify/training/order/1\0"
STEPS_MAX = 4096


def batches(numbers: NDArray[np.intp], rule: TrainingRule, seed: bytes) -> Iterator[NDArray[np.intp]]:
    """The rows of each step, by their place. Each epoch has an order of its own, drawn from the seed.

    `numbers` are those of the rows in their data set. Rows that do not fill the last batch of an epoch are left out.
    Fewer rows than a batch are one batch.
    """
    count = len(numbers)
    end = count - count % rule.batch if count >= rule.batch else count
    for epoch in range(rule.epochs):
        order = order_of(ORDER, seed, epoch, numbers)
        for at in range(0, end, rule.batch):
            yield order[at : at + rule.batch]


def step_count(count: int, rule: TrainingRule) -> int:
    """The number of steps of a training over so many rows."""
    return rule.epochs * max(1, count // rule.batch) if rule.batch else 1


def output_gradient(model: TabularModel, rows: Rows) -> tuple[list[Ints], list[Ints]]:
    """The inputs of each layer (Q12), and the gradient of each row's loss by the outputs of each layer (Q16)."""
    inputs, logits = model.forward(rows.features)
    gradient = softmax(logits)
    gradient[np.arange(len(rows)), rows.labels] -= ONE_Q16
    if len(inputs) == 1:
        return inputs, [gradient]
    back = matmul(gradient, model.layers()[1][:-1].T, term_max=ONE_Q16 * WEIGHT_MAX)
    hidden = ((back + ONE_Q16 // 2) >> 16) * (inputs[1][:, :-1] > 0)
    return inputs, [hidden, gradient]


def step(model: TabularModel, rows: Rows, rule: TrainingRule) -> TabularModel:
    """The model after one step over a batch: the mean gradient times the rate, then the decay of weights."""
    found = [
        matmul(inputs.T, gradient, term_max=ACTIVATION_MAX * GRADIENT_MAX).ravel()
        for inputs, gradient in zip(*output_gradient(model, rows), strict=True)
    ]
    mean = rounded(np.concatenate(found), len(rows) * ONE_Q12)
    weights = model.weights - rounded(mean * rule.lr_q16, ONE_Q16)
    weights -= rounded(weights * rule.decay_q16, ONE_Q16)
    return TabularModel(model.schema, model.hidden, np.clip(weights, -WEIGHT_MAX, WEIGHT_MAX))
