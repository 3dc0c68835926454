"""Rows for the rounds of a world: made ones that can be learned, of each contributor its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.data.commitments import commit_row, rows_root
from p2pverify.core.data.schema import DataFeature, Schema
from p2pverify.core.records.payloads.data import Dataset
from p2pverify.core.training.budget import round_rho
from p2pverify.core.training.terms import TrainingTerms
from p2pverify.testnet.world.economy.plan import HELD, ROWS

_GRID = tuple(range(-8192, 8193, 1024))
SCHEMA = Schema(
    tuple(DataFeature(name, "", 0, 1_000_000, _GRID) for name in ("first", "second", "third")), "label", ("no", "yes")
)
_UNTIL = 1 << 20
#: How far the label follows from the features, and not by chance: the spread of the noise, beside features of 8192.
_NOISE = 3000


@dataclass(frozen=True, slots=True)
class OwnedRows:
    """The rows of one contributor, each with its salt."""

    rows: Sequence[tuple[bytes, bytes]]

    def dataset(self, rule: TrainingRule, rounds: int) -> Dataset:
        """What its owner signs: the rows may be used in rounds of the rule, with a budget for `rounds` of them."""
        root = rows_root([commit_row(salt, row) for salt, row in self.rows])
        terms = TrainingTerms(rule.mode, HELD, round_rho(rule) * rounds)
        card = sha256(b"card" + root).digest()
        return Dataset(root, len(self.rows), SCHEMA.id, "CC0-1.0", 1, (), None, card, _UNTIL, terms)


def rows_of(seed: bytes) -> OwnedRows:
    """The rows of the contributor with an identity seed (32 B)."""
    key = int.from_bytes(sha256(b"p2pverify/world/rows/1" + seed).digest()[:16], "big")
    dice = np.random.Generator(np.random.Philox(key=key))
    features = dice.integers(-8192, 8193, (ROWS, len(SCHEMA.features)))
    noise = dice.integers(-_NOISE, _NOISE + 1, ROWS)
    labels = features[:, 0] - 2 * features[:, 1] + features[:, 2] // 2 + noise > 0
    cells = features.astype(">i2").tobytes()
    size = 2 * len(SCHEMA.features)
    rows = [cells[at * size : (at + 1) * size] + bytes([int(label)]) for at, label in enumerate(labels)]
    salts = [sha256(b"salt" + seed + bytes([at])).digest() for at in range(ROWS)]
    return OwnedRows(list(zip(salts, rows, strict=True)))
