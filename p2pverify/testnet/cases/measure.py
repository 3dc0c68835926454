"""How good a model is, for people: the area under the ROC curve, and regressions in floats to hold it against.

Nothing here is signed or scored; the peers of a case never see these figures.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.data.schema import Schema
from p2pverify.engine.tabular.model import Rows, TabularModel, decode_rows

RIDGE = 1.0
_STEPS_MAX = 50
_STEP_LEAST = 1e-8


def auc(scores: NDArray[np.number], labels: NDArray[np.integer]) -> float:
    """The area under the ROC curve: how often a row with label 1 has a greater score; equal scores count half."""
    above = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def auc_of_model(model: TabularModel, rows: Rows) -> float:
    """The AUC of a model on rows with two labels."""
    logits = model.forward(rows.features)[1]
    return auc(logits[:, 1] - logits[:, 0], rows.labels)


def auc_of_regression(rows: Rows, test: Rows) -> float:
    """The AUC of a logistic regression in floats, by Newton's method, standardised by its own rows."""
    mean, spread = rows.features.mean(axis=0), rows.features.std(axis=0) + 1e-9
    inputs, others = (np.c_[(each.features - mean) / spread, np.ones(len(each))] for each in (rows, test))
    penalty = np.diag([*[RIDGE] * rows.features.shape[1], 0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS_MAX):
        shares = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (shares - rows.labels) + penalty @ weights
        curve = (inputs * (shares * (1 - shares))[:, None]).T @ inputs + penalty + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < _STEP_LEAST:
            break
    return auc(others @ weights, test.labels)


def compare_alone(schema: Schema, parts: Sequence[Sequence[bytes]], test: Sequence[bytes]) -> tuple[float, list[float]]:
    """The AUC of a regression over the rows of all parts together, and of one over each part alone."""
    held, owned = decode_rows(schema, test), [decode_rows(schema, part) for part in parts]
    everything = decode_rows(schema, [row for part in parts for row in part])
    return auc_of_regression(everything, held), [auc_of_regression(rows, held) for rows in owned]
