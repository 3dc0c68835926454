"""What a world trains and pays: the rule of its line, and its tariff. Amounts are in millionths of a credit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.history.training import DP, HELD_OUT, KEEP, SGD, TRIMMED, TrainingRule
from p2pverify.core.contract.tariff import Tariff

TARIFF = Tariff(
    unit="credit",
    answer=10_000,
    audit=4_000,
    vote=2_000,
    dissent=30_000,
    vest_epochs=8,
    limit=100_000_000,
    rows_curve=((0, 0), (20, 500), (100, 1000)),
    late_curve=((0, 1000), (2, 1000), (4, 250)),
    base_permille=300,
)
#: A sponsor pays this for each round.
BOUNTY = 1_000_000
#: Rows of each contributor, and those of them that are held out of training.
ROWS, HELD = 120, 64
_Q16 = 1 << 16
#: Notice and overlap of the versions that rounds make, and the time after a recall. The peers of a world go on to serve
#: the first version, so the overlap is longer than any world.
VERSION_EPOCHS = (1, 1 << 16, 2)


@dataclass(frozen=True, slots=True)
class RoundsPlan:
    """Rounds of training. `mode` says who sees rows. With `with_noise` each row has a privacy budget.

    The budget of a hostile contributor lasts for `budget_rounds` rounds, and that of an honest one for all. With
    `hostile_train` the hostile peers are among the `contributors`, otherwise they only vote.
    """

    mode: int = HELD_OUT
    rounds: int = 6
    contributors: int = 6
    with_noise: bool = False
    budget_rounds: int = 2
    hostile_train: bool = True

    def rule(self, schema: bytes, keys: Sequence[bytes]) -> TrainingRule:
        """The rule of the line. `keys` are the contributors, each a house of its own."""
        usual = TrainingRule(
            *(SGD, self.mode, schema, tuple((key, house) for house, key in enumerate(sorted(keys)))),
            rounds=self.rounds,
            seal_cuts=2,
            open_cuts=2,
            held_rows=8,
            hidden=0,
            batch=16,
            epochs=3,
            lr_q16=6554,
            decay_q16=7,
            clip_q16=3 * _Q16,
            aggregate=TRIMMED,
            f=1,
            sigma=0,
            row_clip_q16=0,
            delta_exponent=0,
            gain_min=0,
            gain_full=20_000,
            mark_below=2_000,
            quarantine_rounds=8,
            erasure_policy=KEEP,
        )
        noise = {"trainer": DP, "batch": 0, "epochs": 0, "sigma": 50_000, "row_clip_q16": _Q16, "delta_exponent": 5}
        return replace(usual, **noise) if self.with_noise else usual  # type: ignore[arg-type]

    def trained(self, line: ModelLine, schema: bytes, keys: Sequence[bytes]) -> ModelLine:
        """The line, trained by these contributors."""
        return replace(line, training=self.rule(schema, keys))
