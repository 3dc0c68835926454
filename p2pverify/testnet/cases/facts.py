"""The facts of one run of a case study: what its report shows. All of them come from the run.

`document` gives their JSON form, `p2pverify/case-report/1`. Credits and gains are in micronats, money in millionths of
its unit, rates and areas between 0 and 1. What is unknown is None.
"""

from dataclasses import asdict, dataclass

SCHEMA = "p2pverify/case-report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """One peer. `rows` are those of its data set, and `share` is its part of all credit above 0.

    `counted` rounds have its update, and in `on_time` of them it was sealed in the first cut. `sealed` counts the
    decided rounds with a seal of it. `found` has what voters found about its updates, and `quarantined` says that they
    are left out. `eps` is what its updates have spent of `eps_budget`.
    """

    name: str
    peer_id: str
    role: str
    cheat: str | None
    expected: str | None
    standing: str
    audits: int
    dissents: int
    rows: int
    credit: int
    share: float
    paid: int | None
    counted: int
    on_time: int
    late: float
    sealed: int
    marked: int
    quarantined: bool
    found: dict[str, int]
    eps: float | None
    eps_budget: float | None
    alone: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersionFacts:
    """A version of the model. `round` made it, and `agreed` of `voters` members gave this result.

    It is `tainted` if rows of its training are erased, or if it descends from a version with a fault.
    """

    number: int
    auc: float
    status: str
    tainted: bool
    round: int | None
    agreed: int
    voters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFacts:
    """A round that is over. Without a version the base was kept; `decided` is false for a void one.

    `repeats` is the round that it repeats after an erasure. It `stands` if it is decided and was not repeated itself.
    """

    number: int
    epoch: int
    decided: bool
    gain: int
    version: int | None
    auc: float
    agreed: int
    voters: int
    repeats: int | None
    stands: bool
    credit: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """An account of the settlement, by the name of its peer or "pool"."""

    name: str
    vested: int
    escrow: int
    answers: int
    audits: int
    votes: int
    training: int
    forfeited: int
    claims: int

    @property
    def total(self) -> int:
        """All that it has; the sum over all accounts is 0."""
        return self.vested + self.escrow + self.claims


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """Something that happened in the run: the epoch of the cut that proves it, and what it was."""

    epoch: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFacts:
    """A condition of the verdict: what must hold, and what was found."""

    what: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """The export of the ledger by an honest peer, and what `ledger verify` said of it."""

    records: int
    bytes: int
    cut: str
    epoch: int
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """The whole run. `central` is the AUC of a regression in floats over the rows of all peers together, and `alone`
    the mean AUC of the honest contributors' models, each trained by the same rule on as many of its own rows alone.
    """

    study: str
    data: str
    licence: str
    network: str
    seed: int
    epoch_ms: int
    rows: int
    features: int
    labels: tuple[str, ...]
    test_rows: int
    mode: str
    trainer: str
    unit: str | None
    central: float
    alone: float
    start: float
    peers: tuple[PeerFacts, ...]
    versions: tuple[ModelVersionFacts, ...]
    rounds: tuple[RoundFacts, ...]
    accounts: tuple[AccountFacts, ...]
    events: tuple[EventFacts, ...]
    checks: tuple[CheckFacts, ...]
    ledger: LedgerFacts

    @property
    def passes(self) -> bool:
        return all(check.holds for check in self.checks)

    def document(self) -> dict[str, object]:
        """The JSON document."""
        return {"schema": SCHEMA, **asdict(self), "verdict": "pass" if self.passes else "fail"}
