"""A training that is run again by somebody else: which of its steps is the first false one."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.history.training import TrainingRule
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.training import Run, train


@dataclass(frozen=True, eq=False)
class TrainingRerun:
    """The right run, and the number of the first step whose leaf differs from the claimed one, counted from 0.

    `first_false` is None if all leaves are right. Missing or further leaves differ, too.
    """

    run: Run
    first_false: int | None


def rerun(base: TabularModel, rows: Rows, rule: TrainingRule, seed: bytes, claimed: Sequence[bytes]) -> TrainingRerun:
    """Train again, and compare with the claimed leaves (32 B each) of all steps. Raises ValueError as `train` does."""
    run = train(base, rows, rule, seed)
    both = zip(run.leaves, claimed, strict=False)
    first = next((at for at, (right, said) in enumerate(both) if right != said), None)
    if first is None and len(claimed) != len(run.leaves):
        first = min(len(claimed), len(run.leaves))
    return TrainingRerun(run, first)
