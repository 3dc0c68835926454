"""A case study as data: its rows, its training rule, what its owners allow, and the texts of its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from p2pverify.core.contract.history.training import (
    DP,
    HELD_OUT,
    KEEP,
    ONE_Q16,
    OPEN,
    REPLAY,
    SGD,
    TRIMMED,
    TrainingRule,
)
from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.data.budget import least_sigma, rho_within, step_rho
from p2pverify.testnet.cases.roles import CONTRIBUTORS, ROLES

DELTA_EXPONENT = 5
#: Rounds that end without a result show rows, too.
_SPARE_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class CaseText:
    """What a report says beside its figures: paragraphs in plain words."""

    title: str
    question: str
    context: tuple[str, ...]
    method: tuple[str, ...]
    discussion: tuple[str, ...]


def paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a text, which empty lines divide."""
    return tuple(" ".join(part.split()) for part in text.strip().split("\n\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseStudy:
    """One case. `data` is one of `datasets.CASES`.

    With `eps` above 0 (in millionths), the noise of all rounds together is the least for it. `shown` rows of each
    contributor are shown in a round. `passes` over the rows are made in a round without noise, with steps of
    `rate_q16`. `gain_full` is in micronats. `deceits` are what people do, and no process: by the place of the peer.
    The event of the case comes after `event_after` decided rounds. If it is an erasure, rounds are repeated after it,
    and noise and budgets leave room for `repeats` of them. With a `tariff` the network keeps accounts, and the sponsor
    pledges `bounty` (millionths) for each round.
    """

    name: str
    data: str
    text: CaseText
    mode: int
    eps: int = 0
    shown: int
    passes: int = 0
    rate_q16: int
    clip_q16: int = 2 * ONE_Q16
    seal_cuts: int = 2
    gain_full: int = 20_000
    deceits: Mapping[int, str] = field(default_factory=dict)
    tariff: Tariff | None = None
    bounty: int = 0
    event_after: int = 1
    repeats: int = 0

    @property
    def roles(self) -> Sequence[str]:
        """The role of each peer, in order."""
        return ROLES[self.name]

    @property
    def contributors(self) -> int:
        """How many peers train: the first ones."""
        return CONTRIBUTORS[self.name]

    def held(self, rounds: int) -> int:
        """How many rows each contributor holds out of training, so that they last for all rounds."""
        return self.shown * (rounds + _SPARE_ROUNDS)

    def rule(self, schema: bytes, keys: Sequence[bytes], rounds: int) -> TrainingRule:
        """The training rule of the line. `keys` are those of the contributors (32 B each)."""
        houses = tuple((key, house) for house, key in enumerate(sorted(keys)))
        is_private = self.eps > 0
        steps = rounds + self.repeats
        sigma = least_sigma(ONE_Q16, rho_within(self.eps, DELTA_EXPONENT), steps) if is_private else 0
        return TrainingRule(
            DP if is_private else SGD,
            self.mode,
            schema,
            houses,
            rounds=rounds,
            seal_cuts=self.seal_cuts,
            open_cuts=2,
            held_rows=self.shown,
            hidden=0,
            batch=0 if is_private else 16,
            epochs=0 if is_private else self.passes,
            lr_q16=self.rate_q16,
            decay_q16=0 if is_private else 7,
            clip_q16=self.clip_q16,
            aggregate=TRIMMED,
            f=1,
            sigma=sigma,
            row_clip_q16=ONE_Q16 if is_private else 0,
            delta_exponent=DELTA_EXPONENT if is_private else 0,
            gain_min=0,
            gain_full=self.gain_full,
            mark_below=2000,
            quarantine_rounds=8,
            erasure_policy=REPLAY if self.repeats else KEEP,
        )


def rho_of(rule: TrainingRule) -> int:
    """The rho (in billionths) that a round of a rule spends; 0 without noise."""
    return step_rho(rule.row_clip_q16, rule.sigma) if rule.sigma else 0


#: Modes of studies, by the names that people read.
MODES = {OPEN: "open: members see all rows", HELD_OUT: "held-out: members see a few drawn rows in each round"}
