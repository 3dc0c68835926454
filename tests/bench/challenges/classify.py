"""A classifier of requests, and how well it distinguishes two kinds: the area under its ROC curve, with an interval.

Features are cut into bins, so that the model can follow any shape of one feature and of pairs of features. For them it
is a logistic regression with an L2 penalty, fitted by Newton's method. For texts it uses hashed n-grams of characters
and tokens and is fitted by gradient descent. The curve is of predictions for held-out requests (5 folds), and the
interval is a bootstrap's.
"""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FOLDS = 5
BINS = 6
BUCKETS = 1 << 13
BOOTSTRAPS = 1000
PENALTY = 2.0


def auc(scores: Floats, labels: Floats) -> float:
    """The share of pairs of both kinds that the scores order correctly (Mann and Whitney 1947). Ties count half."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(scores)]
    for start, end in zip(starts, ends, strict=True):
        ranks[order[start:end]] = (start + end + 1) / 2
    ones = labels.sum()
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))


def interval(scores: Floats, labels: Floats, dice: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval over resampled requests, with each kind resampled separately."""
    kinds = [np.flatnonzero(labels == kind) for kind in (0, 1)]
    found = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([dice.choice(kind, len(kind)) for kind in kinds])
        found.append(auc(scores[drawn], labels[drawn]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def held_out(
    features: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]],
    labels: Floats,
    groups: Sequence[object],
    dice: np.random.Generator,
) -> Floats:
    """A score for each request, by a model that has seen neither it nor others of its group.

    `features(train, test)` gives the matrices of both. All cuts and weights come from `train` alone.
    """
    names = sorted(set(groups), key=repr)
    fold_of = dict(zip(names, dice.permutation(len(names)) % FOLDS, strict=True))
    folds = np.array([fold_of[group] for group in groups])
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        seen, unseen = features(train, test)
        weights = fit(seen, labels[train])
        scores[test] = np.c_[np.ones(len(test)), unseen] @ weights
    return scores


def fit(matrix: Floats, labels: Floats) -> Floats:
    """Weights of a logistic regression with an intercept, which is not penalised."""
    data = np.c_[np.ones(len(matrix)), matrix]
    weights = np.zeros(data.shape[1])
    penalty = np.full(data.shape[1], PENALTY)
    penalty[0] = 1e-6
    if data.shape[1] > 600:
        return _descend(data, labels, weights, penalty)
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(data @ weights, -30, 30)))
        gradient = data.T @ (chance - labels) + penalty * weights
        hessian = (data * (chance * (1 - chance))[:, None]).T @ data + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _descend(data: Floats, labels: Floats, weights: Floats, penalty: Floats) -> Floats:
    """Accelerated gradient descent (Nesterov 1983). Its step comes from the largest singular value."""
    rate = 1 / (0.25 * np.linalg.norm(data, 2) ** 2 + penalty.max())
    ahead = weights.copy()
    for step in range(400):
        chance = 1 / (1 + np.exp(-np.clip(data @ ahead, -30, 30)))
        moved = ahead - rate * (data.T @ (chance - labels) + penalty * ahead)
        ahead = moved + step / (step + 3) * (moved - weights)
        weights = moved
    return weights


def binned(columns: Floats) -> Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]]:
    """Each column as indicators of the quantiles in the training data, and of pairs of columns cut in two."""

    def features(train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[Floats, Floats]:
        seen, unseen = [], []
        halves: list[tuple[Floats, Floats]] = []
        for column in columns.T:
            cuts = np.unique(np.quantile(column[train], np.linspace(0, 1, BINS + 1)[1:-1]))
            for part, out in ((train, seen), (test, unseen)):
                out.append(np.eye(len(cuts) + 1)[np.searchsorted(cuts, column[part], side="right")])
            middle = np.median(column[train])
            halves.append((np.sign(column[train] - middle), np.sign(column[test] - middle)))
        for at, (one, other) in enumerate(halves):
            for pair, pair_out in halves[at + 1 :]:
                seen.append((one * pair)[:, None])
                unseen.append((other * pair_out)[:, None])
        return np.hstack(seen), np.hstack(unseen)

    return features


def grams(texts: Sequence[str], tokens: Sequence[Sequence[int]]) -> Floats:
    """A row per text: hashed counts of 1 to 4 characters and 1 to 2 tokens, damped and normalised to length 1."""
    rows = np.zeros((len(texts), BUCKETS))
    for row, text, ids in zip(rows, texts, tokens, strict=True):
        padded = f"^{text}$"
        parts = [padded[at : at + size] for size in (1, 2, 3, 4) for at in range(len(padded) - size + 1)]
        parts += [f"#{ids[at]}" for at in range(len(ids))]
        parts += [f"#{ids[at]},{ids[at + 1]}" for at in range(len(ids) - 1)]
        for part in parts:
            row[crc32(part.encode()) % BUCKETS] += 1
    rows = np.log1p(rows)
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled * 8


def fixed(rows: Floats) -> Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]]:
    """Features that do not depend on other requests."""
    return lambda train, test: (rows[train], rows[test])


def joined(
    *parts: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]],
) -> Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, Floats]]:
    """Several kinds of features side by side."""

    def features(train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[Floats, Floats]:
        pairs = [part(train, test) for part in parts]
        return np.hstack([seen for seen, _ in pairs]), np.hstack([unseen for _, unseen in pairs])

    return features
