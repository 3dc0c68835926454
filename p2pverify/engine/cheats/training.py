"""False trainings: what a cheating contributor does instead of training on its rows.

The shown rows stay the committed ones, because other rows would be found at once (`core/training/shown`).
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path

from p2pverify.core.contract.history.training import OPEN, TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.training.orders import EvaluateOrder, ReportedLosses, ReportOrder, TrainOrder
from p2pverify.core.training.shown import show_rows, split_rows
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

    def first(self, weights: Path, expected: bytes) -> bytes | None:
        """See the port."""
        return self._honest.first(weights, expected)

    def served(self, weights: bytes) -> bytes | None:
        """See the port."""
        return self._honest.served(weights)

    def prepare(self, base: bytes, rule: TrainingRule) -> None:
        """See the port."""
        self._honest.prepare(base, rule)

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
    return replace(honest.train(order, base, false), shown=show_rows(order.rule.mode, order.drawn, rows))


def negated(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """The update is that of a training, with the other sign."""
    made = honest.train(order, base, rows)
    return replace(made, update=_pack([-number for number in _unpack(made.update)]))


def boosted(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """The update has the other sign, and is as long as the rule allows: a longer one would count for nothing."""
    made = honest.train(order, base, rows)
    numbers = _unpack(made.update)
    norm = isqrt(sum(number * number for number in numbers)) + 1
    clip = order.rule.clip_q16
    return replace(made, update=_pack([int(-number * clip / norm) for number in numbers]))


def empty(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """The update is zero, and nothing is trained. The root of its steps is then an invented one."""
    mode, count = order.rule.mode, (honest.update_bytes(base) - len(MAGIC)) // 4
    steps = bytes(32) if mode == OPEN else None
    own = sum(rows[at] is not None for at in split_rows(order.drawn)[0])
    return TrainedBytes(_pack([0] * count), steps, own, show_rows(mode, order.drawn, rows))


def _pack(numbers: Sequence[int]) -> bytes:
    return MAGIC + struct.pack(f">{len(numbers)}i", *numbers)


def _unpack(update: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{(len(update) - len(MAGIC)) // 4}i", update[len(MAGIC) :])


def shortened(honest: Trainer, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
    """One pass over the rows less, or one step of an adapter's training.

    With a single pass or step, or with noise, there is none to leave out.
    """
    rule = order.rule
    if rule.lora is not None:
        fewer = replace(rule, lora=replace(rule.lora, steps=max(1, rule.lora.steps - 1)))
        return honest.train(replace(order, rule=fewer), base, rows)
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
    "poison-sign": lambda: negated,
    "boost": lambda: boosted,
    "free-rider": lambda: empty,
    "short-training": lambda: shortened,
    "late": delayed,
}
