"""The port through which a node trains and judges updates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.data.commitments import RowTable
from p2pverify.core.training.orders import EvaluateOrder, ReportedLosses, ReportOrder, TrainOrder
from p2pverify.core.training.result import RoundResult


@dataclass(frozen=True, slots=True)
class TrainedBytes:
    """A training: the bytes of the update, the root of its steps in mode 0 (32 B), the number of rows that were trained
    on, and the bytes of the rows that the contributor has to show."""

    update: bytes
    steps: bytes | None
    rows: int
    shown: bytes


@dataclass(frozen=True, slots=True)
class EvaluatedRound:
    """The result of a round, and the weights and the manifest of the new version; None if the base is kept."""

    result: RoundResult
    weights: bytes | None = None
    manifest: Manifest | None = None


class Trainer(Protocol):
    """Training rounds as functions of bytes, without any I/O. Methods block; the node calls them in a thread.

    `base` are the bytes of the weights from which the round starts. Methods raise DecodeError or ValueError for a
    base or own rows that do not fit the rule.
    """

    def first(self, weights: Path, expected: bytes) -> bytes | None:
        """The bytes from which rounds start at a version that no round made. `weights` is the file of its weights.

        None if the file's SHA-256 is not `expected` (32 B). Raises OSError.
        """
        ...

    def served(self, weights: bytes) -> bytes | None:
        """The file that engines load for the weights that a round made; None if these are the file."""
        ...

    def prepare(self, base: bytes, rule: TrainingRule) -> None:
        """Prove that this machine can judge updates by a rule. Raises UserError or ValueError if it cannot."""
        ...

    def update_bytes(self, base: bytes) -> int:
        """The bytes of an update to these weights."""
        ...

    def train(self, order: TrainOrder, base: bytes, rows: RowTable) -> TrainedBytes:
        """Train on the own rows: all rows of the data set as it is now, in their order."""
        ...

    def report(self, order: ReportOrder, base: bytes, rows: RowTable, blobs: Mapping[bytes, bytes]) -> ReportedLosses:
        """Compute the losses of updates on the own rows, in mode 2.

        `blobs` has the updates that could be had, by SHA-256. One that is missing or broken moves nothing.
        """
        ...

    def evaluate(
        self, order: EvaluateOrder, base: bytes, parent: Manifest, blobs: Mapping[bytes, bytes]
    ) -> EvaluatedRound:
        """Compute the result. `blobs` are the updates and shown rows that could be had, by SHA-256.

        `parent` is the manifest of the base.
        """
        ...

    def manifest(self, weights: bytes, named: Manifest, parent: bytes) -> Manifest:
        """The manifest of weights that a round made. `parent` is the digest of the base's manifest.

        Name and licence are those of `named`.
        """
        ...
