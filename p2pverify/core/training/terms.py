"""How the rows of a data set may be used in training rounds, and how much of that is used up.

Protocol page: protocol/dataset.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.training import REPORTED
from p2pverify.core.encoding.canon import Value, as_array, as_uint
from p2pverify.core.errors import DecodeError

#: Rows of one data set that are held out of training.
HELD_MAX = 2**16
#: Rows of a data set that is offered for rounds: every voter computes the order of all of them.
OFFERED_ROWS_MAX = 2**20
#: A privacy budget: rho of zCDP in 1e-9.
BUDGET_MAX = 10**12


@dataclass(frozen=True, slots=True)
class TrainingTerms:
    """What an owner allows. `mode` is that of the training rule: who may see rows.

    `held` rows are held out of training, and are shown in rounds, each once. `budget` bounds the sum of rho of all
    rounds with noise (zCDP, in 1e-9).
    """

    mode: int
    held: int
    budget: int

    def to_value(self) -> list[object]:
        return [self.mode, self.held, self.budget]


def read_terms(value: Value) -> TrainingTerms:
    """Raises DecodeError."""
    mode, held, budget = as_array(value, "training terms", length=3)
    found = TrainingTerms(
        as_uint(mode, "mode", REPORTED), as_uint(held, "held rows", HELD_MAX), as_uint(budget, "budget", BUDGET_MAX)
    )
    if (found.held == 0) != (found.mode == REPORTED):
        raise DecodeError("held rows are 0 in mode 2, and in no other")
    return found


@dataclass(frozen=True, slots=True)
class TrainingUse:
    """The use of a data set so far. `seed` is the beacon of the cut that brought its rows (32 B).

    The seed orders the rows (see `draws.row_order`), erased ones too. `shown` counts the held-out rows that rounds have
    drawn, and `spent` the rho (1e-9).
    """

    terms: TrainingTerms
    seed: bytes
    shown: int = 0
    spent: int = 0
