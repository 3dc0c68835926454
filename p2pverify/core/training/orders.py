"""What the machine asks its node to do in a training round, and what comes back. The node has the rows and the blobs.

Weights, updates and shown rows are blobs, named by their SHA-256 (32 B). Whoever makes one stores it before it answers,
so that other peers can fetch it.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.training.losses import LossTable
from p2pverify.core.training.result import RoundResult


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """The order of the rows of a data set: `rows` rows under `root`, ordered by `seed` (see `draws.row_order`).

    The first `held` rows are held out of training. Those from `position` on are shown in this round: `count` of them in
    mode 1, and all rows of the data set in mode 0. `erased` of the rows are erased. They keep their numbers and their
    places in the order, so that the others' do not depend on them.
    """

    root: bytes
    rows: int
    seed: bytes
    held: int
    position: int
    count: int
    erased: int = 0


@dataclass(frozen=True, slots=True)
class TrainOrder:
    """Train from the version with the manifest `base` on the own data set `dataset` (id of its record)."""

    line: int
    number: int
    rule: TrainingRule
    base: bytes
    dataset: bytes
    drawn: DrawnRows
    seed: bytes  # of the order of rows; with noise it is this peer's secret


@dataclass(frozen=True, slots=True)
class TrainedUpdate:
    """A training that was done: the blob of the update, the root of its steps (mode 0), and the number of its rows.

    `shown` is the blob of the rows that the round draws, of `shown_bytes` bytes.
    """

    update: bytes
    steps: bytes | None
    rows: int
    shown: bytes
    shown_bytes: int


@dataclass(frozen=True, slots=True)
class ShownUpdate:
    """An update of a round and the rows that its author has to show. `seed` is that of its order of rows."""

    author: bytes
    update: bytes
    steps: bytes | None
    rows: int
    shown: bytes
    shown_bytes: int
    drawn: DrawnRows
    seed: bytes


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """Compute the losses of updates on the rows of the own data set, in mode 2. `left_out` are not in the aggregate.

    `updates` are pairs of an author and the SHA-256 of its update, sorted by author.
    """

    line: int
    number: int
    rule: TrainingRule
    base: bytes
    dataset: bytes
    drawn: DrawnRows
    updates: tuple[tuple[bytes, bytes], ...]
    left_out: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ReportedLosses:
    """The losses on the own rows (see `training.losses`)."""

    losses: LossTable


@dataclass(frozen=True, slots=True)
class EvaluateOrder:
    """Compute the result of a round. `left_out` are not in the aggregate. `seed` draws the orders of credit.

    `reports` are the losses that owners report in mode 2, sorted by author.
    """

    line: int
    number: int
    rule: TrainingRule
    base: bytes
    closing: bytes
    updates: tuple[ShownUpdate, ...]  # sorted by author
    left_out: frozenset[bytes]
    seed: bytes
    reports: tuple[tuple[bytes, LossTable], ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """The order could not be carried out, for example because the base is not here yet. It may be given again."""

    reason: str


TrainingOrder = TrainOrder | ReportOrder | EvaluateOrder
TrainingOutcome = TrainedUpdate | ReportedLosses | RoundResult | TrainingFailed
