"""Carries out the orders of training rounds in a world, with the real trainer. Peers get each other's blobs at once.

The work of each peer is counted, because the book shows what a cheat saves. Equal evaluations are computed once.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.training.orders import (
    EvaluateOrder,
    ReportOrder,
    TrainedUpdate,
    TrainingFailed,
    TrainingOrder,
    TrainingOutcome,
    TrainOrder,
)
from p2pverify.engine.tabular.model import initial
from p2pverify.engine.trainer import TabularTrainer
from p2pverify.node.training.ports import EvaluatedRound, TrainedBytes, Trainer
from p2pverify.testnet.world.economy.rows import SCHEMA, OwnedRows
from p2pverify.testnet.world.peer.versions import MANIFEST

Lie = Callable[[Trainer], Trainer]


class SimulatedTraining:
    """All trainings of a world. `owners` are the contributors' rows by their keys.

    `passes` counts the rows that each peer trained on, once for each pass, and `orders` its trainings. `evaluated`
    counts the rounds that it judged.
    """

    def __init__(self, owners: Mapping[bytes, OwnedRows]) -> None:
        self._owners = owners
        self._bases: dict[bytes, tuple[bytes, Manifest]] = {MANIFEST.digest: (initial(SCHEMA).encode(), MANIFEST)}
        self._blobs: dict[bytes, bytes] = {}
        self._judged: dict[EvaluateOrder, EvaluatedRound] = {}
        self.passes: Counter[bytes] = Counter()
        self.orders: Counter[bytes] = Counter()
        self.evaluated: Counter[bytes] = Counter()

    def passes_in(self, peer: bytes) -> float:
        """The work of a peer for one training that it gave."""
        return self.passes[peer] / max(1, self.orders[peer])

    def judged_in(self, peer: bytes) -> float:
        """How many rounds a peer judged."""
        return float(self.evaluated[peer])

    def outcome(self, peer: bytes, lie: Lie, order: TrainingOrder) -> TrainingOutcome:
        """The outcome of an order of the peer with this key. `lie` makes its trainer of an honest one."""
        base = self._bases.get(order.base)
        if base is None:
            return TrainingFailed("nobody has the version from which it starts")
        trainer = lie(_Counted(self, peer))
        try:
            if isinstance(order, TrainOrder):
                return self._train(peer, trainer, order, base[0])
            if isinstance(order, ReportOrder):
                return trainer.report(order, base[0], self._owners[peer].rows, self._blobs)
            return self._evaluate(trainer, order, base)
        except (DecodeError, ValueError) as error:
            return TrainingFailed(str(error))

    def _train(self, peer: bytes, trainer: Trainer, order: TrainOrder, weights: bytes) -> TrainedUpdate:
        made = trainer.train(order, weights, self._owners[peer].rows)
        self.orders[peer] += 1
        update, shown = (self._keep(blob) for blob in (made.update, made.shown))
        return TrainedUpdate(update, made.steps, made.rows, shown, len(made.shown))

    def _evaluate(self, trainer: Trainer, order: EvaluateOrder, base: tuple[bytes, Manifest]) -> TrainingOutcome:
        found = trainer.evaluate(order, *base, self._blobs)
        if found.weights is not None and found.manifest is not None:
            self._bases[found.result.manifest] = (found.weights, found.manifest)
        return found.result

    def _keep(self, blob: bytes) -> bytes:
        name = sha256(blob)
        self._blobs[name] = blob
        return name

    def judged(self, order: EvaluateOrder, work: Callable[[], EvaluatedRound]) -> EvaluatedRound:
        """The result of an evaluation, which is computed by the first peer that wants it."""
        if order not in self._judged:
            self._judged[order] = work()
        return self._judged[order]


class _Counted(TabularTrainer):
    """The honest trainer, which counts the work of one peer."""

    def __init__(self, training: SimulatedTraining, peer: bytes) -> None:
        super().__init__()
        self._training = training
        self._peer = peer

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        """See the port."""
        made = super().train(order, base, rows)
        self._training.passes[self._peer] += made.rows * max(1, order.rule.epochs)
        return made

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        """See the port."""
        self._training.evaluated[self._peer] += 1
        return self._training.judged(order, partial(super().evaluate, order, base, parent, blobs))
