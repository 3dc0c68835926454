"""The run that never had some rows: all rounds that stand in a ledger, computed from their seeds and from rows.

A replay must end with the same bytes. Nothing here knows of replays: it computes round after round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.core.data.commitments import ERASED_ROW, RowTable, commit_row, rows_root
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.rounds.notes import RepeatableRound
from p2pverify.core.training.draws import batch_seed, credit_seed
from p2pverify.core.training.orders import DrawnRows, EvaluateOrder, ShownUpdate, TrainOrder
from p2pverify.node.training.ports import Trainer
from p2pverify.node.training.versions import RoundBase


@dataclass(frozen=True)
class CounterfactualOwner:
    """A contributor of a run: its data set in the ledger, its rows, and its trainer, which is a liar's if it lies.

    `noise` gives its secret seed of a round by the place of the round in the run; None without noise.
    """

    dataset: LiveDataset
    rows: RowTable
    trainer: Trainer
    noise: Callable[[int], bytes] | None = None


def run_rounds(
    line: int,
    rule: TrainingRule,
    past: Sequence[RepeatableRound],
    first: RoundBase,
    owners: dict[bytes, CounterfactualOwner],
    judge: Trainer,
) -> bytes:
    """The weights after rounds that follow each other, beginning with the base `first`. Blocks.

    Rows that an owner does not have are None in its table.
    """
    base = first
    for place, one in enumerate(past):
        said, blobs = [], dict[bytes, bytes]()
        for author, use in sorted(one.uses.items()):
            owner = owners[author]
            drawn = _drawn(owner, rule, use.position)
            seed = batch_seed(one.beacon, line, one.number, author)
            order = TrainOrder(line, one.number, rule, base.manifest.digest, use.dataset, drawn, seed)
            if owner.noise is not None:
                order = replace(order, seed=owner.noise(place))
            made = owner.trainer.train(order, base.weights, owner.rows)
            update, shown = sha256(made.update), sha256(made.shown)
            said.append(ShownUpdate(author, update, made.steps, made.rows, shown, len(made.shown), drawn, seed))
            blobs |= {update: made.update, shown: made.shown}
        drawing = credit_seed(one.drawn, line, one.number)
        asked = EvaluateOrder(
            line, one.number, rule, base.manifest.digest, bytes(32), tuple(said), one.left_out, drawing
        )
        found = judge.evaluate(asked, base.weights, base.manifest, blobs)
        if found.weights is not None and found.manifest is not None:
            base = RoundBase(found.weights, found.manifest)
    return base.weights


def _drawn(owner: CounterfactualOwner, rule: TrainingRule, position: int) -> DrawnRows:
    use = owner.dataset.training
    assert use is not None  # it contributed
    gone = sum(row is None for row in owner.rows)
    root = rows_root([ERASED_ROW if row is None else commit_row(*row) for row in owner.rows])
    return DrawnRows(root, len(owner.rows), use.seed, use.terms.held, position, rule.held_rows, gone)
