"""False trainings: what a cheating contributor does instead of training on its rows.

The shown rows stay the committed ones, because other rows would be found at once (`core/training/shown`).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.training.orders import EvaluateOrder, ReportedLosses, ReportOrder, TrainOrder
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.tabular.model import decode_model
from p2pverify.engine.tabular.update import MAGIC
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes, Trainer

#: After a failure the order is given again a fifth of an epoch later, so this is the number of refusals in an epoch.
LATE_REFUSALS = 5

FalseTraining = Callable[[Trainer, TrainOrder, bytes, RowTable], TrainedBytes]


class LyingTrainer(Trainer):
    """Trains falsely, and judges the updates of others honestly."""

    def __init__(self, honest: Trainer, lie: FalseTraining) -> None:
        self._honest = honest
        self._lie = lie

    def update_bytes(self, base: bytes) -> int:
        """See the port."""
        return self._honest.update_bytes(base)

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        """See the port."""
        return self._lie(self._honest, order, base, rows)

    def report(self, order: ReportOrder, base: bytes, rows: RowTable, blobs: Mapping[bytes, bytes]) -> ReportedLosses:
        """See the port."""
        return self._honest.report(order, base, rows, blobs)

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        """See the port."""
        return self._honest.evaluate(order, base, parent, blobs)

    def manifest(self, weights: bytes, named: Manifest, parent: bytes) -> Manifest:
        """See the port."""
        return self._honest.manifest(weights, named, parent)


def lying_trainer(spec: CheatSpec, honest: Trainer) -> Trainer:
    """The trainer of a cheater. It is the honest one if the cheat is not in the training itself."""
    return LyingTrainer(honest, TRAININGS[spec.kind]()) if spec.kind in TRAININGS else honest


def poisoned(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """Each label is the next one, and the last is the first."""
    schema = decode_model(base).schema

    def falsified(row: bytes) -> bytes:
        return row[:-1] + bytes([(schema.cells(row)[1] + 1) % len(schema.labels)])

    false = [None if row is None else (row[0], falsified(row[1])) for row in rows]
    update = honest.train(order, base, false)
    return replace(update, shown=honest.train(order, base, rows).shown)


def empty(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """The update is zero. All else is as if it had been trained."""
    count = (honest.update_bytes(base) - len(MAGIC)) // 4
    return replace(honest.train(order, base, rows), update=MAGIC + struct.pack(f">{count}i", *[0] * count))


def shortened(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """One pass over the rows less. With a single pass or with noise there is none to leave out."""
    rule = order.rule
    return honest.train(replace(order, rule=replace(rule, epochs=max(1, rule.epochs - 1))), base, rows)


def delayed() -> FalseTraining:
    """Right, and only after an epoch of refusals in each round."""
    refused: dict[tuple[int, int], int] = {}

    def train(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        place = (order.line, order.number)
        count = refused[place] = refused.get(place, 0) + 1
        if count <= LATE_REFUSALS:
            raise ValueError("this cheater seals late")
        return honest.train(order, base, rows)

    return train


#: Makes the false training of a kind. The other kinds of training cheats are in `contributors`.
TRAININGS: Mapping[str, Callable[[], FalseTraining]] = {
    "poison-labels": lambda: poisoned,
    "free-rider": lambda: empty,
    "short-training": lambda: shortened,
    "late": delayed,
}
