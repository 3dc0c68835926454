"""Rows that can be learned, and the rules by which they are."""

from dataclasses import replace

import numpy as np

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.engine.tabular.model import Rows
from tests.support.datasets import SCHEMA
from tests.support.training import KEYS, RULE

RULED = replace(RULE, schema=SCHEMA.id)
SEED = b"\x07" * 32
AUTHORS = KEYS[:5]


def ruled(**changes: object) -> TrainingRule:
    return replace(RULED, **changes)  # type: ignore[arg-type]


def rows_of(count: int, seed: int, *, flip: bool = False) -> Rows:
    """Rows whose label follows from both features, with some noise; `flip` has the other label."""
    drawn = np.random.Generator(np.random.Philox(key=seed)).integers(-8192, 8193, (count, 3))
    labels = (drawn[:, 0] - 2 * drawn[:, 1] + drawn[:, 2] // 8 > 0) ^ flip
    return Rows(drawn[:, :2].astype(np.int16), labels.astype(np.uint8))


def listed(rows: Rows) -> list[tuple[tuple[int, ...], int]]:
    """Rows as the second implementation takes them."""
    return list(zip(map(tuple, rows.features.tolist()), rows.labels.tolist(), strict=True))
