"""Contributors with texts, and the round that voters make of their updates."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from p2pverify.core.contract.history.training import OPEN, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import ERASED_ROW, RowTable, commit_row, rows_root
from p2pverify.core.data.texts import TextSchema
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.training.orders import DrawnRows, EvaluateOrder, ShownUpdate, TrainOrder
from p2pverify.core.training.shown import show_rows
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes, Trainer
from tests.support.networks import MANIFEST

SCHEMA = TextSchema("note", 300)
AUTHORS = [bytes([number]) * 32 for number in range(1, 9)]
HELD = 2
_TOPICS = ("wheat", "barley", "oats", "rye", "millet", "maize", "rice", "spelt", "teff", "sorghum", "quinoa", "flax")
#: Texts of one kind, so that those of one owner teach something of the others'.
TEXTS = [
    f"Field note: the {topic} stood {number + 3} hands high, and the miller paid in silver for every sack.".encode()
    for number, topic in enumerate(_TOPICS)
]


def parent_of(file: bytes) -> Manifest:
    """The manifest of version 0, whose weights have this SHA-256."""
    return replace(MANIFEST, weights=file)


class Owner:
    """A contributor. `bytes` is its training by a rule, which a test can falsify."""

    def __init__(self, trainer: Trainer, base: bytes, rule: TrainingRule, at: int, texts: Sequence[bytes]) -> None:
        self.key, self.base, self.trainer = AUTHORS[at], base, trainer
        self.rows: RowTable = []
        self._commit(texts, rule, at)
        self.order = TrainOrder(0, 1, rule, bytes(32), b"\x01" * 32, self.drawn, bytes([at + 50]) * 32)
        self.bytes: TrainedBytes = trainer.train(self.order, base, self.rows)

    def _commit(self, texts: Sequence[bytes], rule: TrainingRule, at: int) -> None:
        rows = [(sha256(b"%d %d" % (at, number)), row) for number, row in enumerate(texts)]
        self.rows, root = rows, rows_root([commit_row(*row) for row in rows])
        self.drawn = DrawnRows(root, len(rows), bytes([at]) * 32, HELD, 0, rule.held_rows)

    def train(self, rule: TrainingRule) -> None:
        """Train by another rule, and say that it was this one."""
        self.bytes = self.trainer.train(replace(self.order, rule=rule), self.base, self.rows)

    def erase(self, places: AbstractSet[int]) -> None:
        """Erase rows, as the ledger was told, and train without them."""
        self.rows = [None if place in places else row for place, row in enumerate(self.rows)]
        root = rows_root([ERASED_ROW if row is None else commit_row(*row) for row in self.rows])
        self.drawn = replace(self.drawn, root=root, erased=len(places))
        self.order = replace(self.order, drawn=self.drawn)
        self.bytes = self.trainer.train(self.order, self.base, self.rows)

    def show(self, texts: Sequence[bytes]) -> None:
        """Have committed to these rows instead, and show them."""
        self._commit(texts, self.order.rule, 1)
        self.bytes = replace(self.bytes, shown=show_rows(OPEN, self.drawn, self.rows))

    @property
    def said(self) -> ShownUpdate:
        made = self.bytes
        names = (sha256(made.update), made.steps, made.rows, sha256(made.shown), len(made.shown))
        return ShownUpdate(self.key, *names, self.drawn, self.order.seed)


def round_of(trainer: Trainer, owners: Sequence[Owner], rule: TrainingRule, parent: Manifest) -> EvaluatedRound:
    """What a voter computes of the updates of some owners."""
    blobs = {sha256(data): data for owner in owners for data in (owner.bytes.update, owner.bytes.shown)}
    updates = tuple(owner.said for owner in owners)
    order = EvaluateOrder(0, 1, rule, parent.digest, b"\x0c" * 32, updates, frozenset(), b"\x0d" * 32)
    return trainer.evaluate(order, owners[0].base, parent, blobs)
