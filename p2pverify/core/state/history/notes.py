"""A data set as the fold remembers it."""

from dataclasses import dataclass

from p2pverify.core.training.terms import TrainingUse


@dataclass(frozen=True, slots=True)
class LiveDataset:
    """A data set that its author offers. `root` and `rows` are those after all counted erasures.

    `until` is the first epoch in which it is offered no more. `epoch` and `index` are those of the cut that brought it.
    `erasures` counts the counted erasures, and `erased` the rows that these took away. `training` is None if the rows
    are not offered for training rounds. `waiting` is an erasure (root, rows left) that counts when the round is over in
    which the rows take part.
    """

    author: bytes
    root: bytes
    rows: int
    schema: bytes
    until: int
    epoch: int
    index: int
    erasures: int = 0
    erased: int = 0
    training: TrainingUse | None = None
    waiting: tuple[bytes, int] | None = None

    @property
    def size(self) -> int:
        """How many rows there were at first. They keep their numbers when some are erased."""
        return self.rows + self.erased
