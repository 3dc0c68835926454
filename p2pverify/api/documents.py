"""The API's answers as models, from which `/openapi.json` is made.

The node makes the documents; these models describe them, and a test compares the two. Digests and ids are lower-case
hex, rates are fractions of 1, margins are in micronats (1e-6 nat).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Standing = Literal["newcomer", "probation", "trusted", "suspect", "convicted", "gone"]
Verdict = Literal["match", "mismatch", "inconclusive"]
Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class ErrorDocument(_Document):
    """The answer to every request that fails."""

    schema_: Literal["p2pverify/error/1"] = Field(alias="schema")
    error: str = Field(description="one word, for programs")
    message: str = Field(description="a sentence, for people")


class Live(_Document):
    """The process answers."""

    schema_: Literal["p2pverify/live/1"] = Field(alias="schema")
    live: bool


class Ready(_Document):
    """Whether the node takes part in the network; if not, why."""

    schema_: Literal["p2pverify/ready/1"] = Field(alias="schema")
    ready: bool
    reasons: list[str]


class LeaveDocument(_Document):
    """The node has signed its leave, or will as soon as it may sign; `reasons` say why it may not yet."""

    schema_: Literal["p2pverify/leave/1"] = Field(alias="schema")
    leaving: bool
    reasons: list[str]


class Due(_Document):
    """The cut of an epoch, and the seconds until it is due; 0 if it is due already."""

    epoch: int
    due_s: Count


class FinalCutDocument(_Document):
    """The newest final cut."""

    cut: str
    epoch: int
    index: Count
    ledger_root: str
    view_root: str


class RecentCut(FinalCutDocument):
    """A final cut; `records` is the number of records that its view counts."""

    records: Count


class LackDocument(_Document):
    """A condition for weight that is not met: the member `has` less than it `needs`."""

    what: str
    has: int
    needs: int


class WayToWeight(_Document):
    """What is missing for weight, when the next peer can get weight, and how many peers have earned it and wait."""

    lacks: list[LackDocument]
    turn: Due
    earned: Count


class JobsDocument(_Document):
    """The engine's jobs since the start, and the waiting ones."""

    model_config = ConfigDict(extra="allow")

    jobs_waiting: Count
    oldest_waiting_ms: Count
    jobs_done: Count
    jobs_failed: Count
    jobs_late: Count
    jobs_dropped: Count
    engine_busy_ms: Count


class SpeedDocument(_Document):
    """The hardware that a peer claims, and its speed as challengers measured it; null if too few have measured it."""

    claim: str
    fit: str
    challengers: Count
    token_ms: float | None
    first_token_ms: int | None
    tokens_per_s: float | None


class ScoreDocument(_Document):
    """One member in a view. `low` and `high` are the 95 % interval of its agreement rate."""

    peer_id: str
    class_: str = Field(alias="class")
    standing: Standing
    reason: str | None = Field(description="why it is suspect, convicted, or without the weight that it had")
    weight: Annotated[int, Field(ge=0, le=1)]
    low: Ratio
    high: Ratio
    audits: Count
    agreements: Count
    dissents: Count
    challengers: Count
    last_audit_epoch: Count | None
    availability: Ratio | None
    no_shows: Count
    slots_owed: Count
    unopened: Count
    cusum: Count
    threshold: Count
    convicted_epoch: Count | None
    convicted_after_audits: Count | None
    conviction: str
    fork_until_epoch: Count | None = Field(description="the last epoch of a fork's penalty, while it lasts")
    hardware: SpeedDocument | None


class StatusDocument(_Document):
    """The identity and the progress of this node, and what it waits for."""

    schema_: Literal["p2pverify/status/1"] = Field(alias="schema")
    peer_id: str
    network: str
    network_name: str
    epoch: int = Field(description="negative before the network begins")
    epoch_s: float
    model: str
    class_: str = Field(alias="class")
    engine: str
    uptime_s: Count
    addresses: list[str]
    neighbours: Count
    records: Count
    standing: Standing | None = Field(description="null for a peer that is no member in the newest final view")
    own: ScoreDocument | None = Field(description="this peer's row of the newest final view")
    ready: bool
    reasons: list[str]
    final: FinalCutDocument | None
    final_age_s: Count | None = Field(description="since the newest final cut was due")
    next_cut: Due
    first_score: Due | None = Field(description="null if there is a score, or nobody to ask this peer")
    weight: Annotated[int, Field(ge=0, le=1)]
    way_to_weight: WayToWeight | None = Field(description="null for a peer that has weight")
    recent_cuts: list[RecentCut]
    quiet: bool
    jobs: JobsDocument


class NeighbourDocument(_Document):
    """A connected peer of the network."""

    peer_id: str
    address: str
    outbound: bool
    in_mesh: bool
    standing: Standing | None


class PeersDocument(_Document):
    """The connected peers."""

    schema_: Literal["p2pverify/peers/1"] = Field(alias="schema")
    peers: list[NeighbourDocument]


class HardwareGroup(_Document):
    """The speeds of a class's peers that claim one hardware: least, median and greatest; null if none was measured."""

    class_: str = Field(alias="class")
    claim: str
    peers: Count
    measured: Count
    consistent: Count
    inconsistent: Count
    first_token_ms: list[int] | None
    tokens_per_s: list[float] | None


class ScoresDocument(_Document):
    """A view: of the newest final cut, or provisional. Before the first final cut, `final` is false and `cut` null."""

    schema_: Literal["p2pverify/scores/1"] = Field(alias="schema")
    network: str
    final: bool
    cut: str | None
    epoch: Count
    scores: list[ScoreDocument]
    hardware: list[HardwareGroup]


class AskedPeerDocument(_Document):
    """A peer that an audit asked."""

    peer_id: str
    answered: bool


class AuditDocument(_Document):
    """An audit in a list."""

    id: str
    challenger: str
    epoch: Count
    slot: Count
    across: bool
    differ: bool
    asked: list[AskedPeerDocument]
    status: Literal[
        "waiting",
        "agreed",
        "inconclusive",
        "disputed",
        "decided",
        "undecided",
        "closed",
        "unanswered",
        "void",
    ]


class _Dispute(_Document):
    challenger: str
    epoch: Count
    slot: Count
    status: Literal["open", "decided"]
    opened_epoch: Count
    electorate: Count
    commits: Count
    votes: Count
    decision: str | None
    losers: list[str]


class DisputeDocument(_Dispute):
    """A dispute of the newest final view."""

    id: str


class AuditsDocument(_Document):
    """The newest audits, and the disputes."""

    schema_: Literal["p2pverify/audits/1"] = Field(alias="schema")
    audits: list[AuditDocument]
    disputes: list[DisputeDocument]


class OutputDocument(_Document):
    """An output that got votes. `own`: whether this node would vote for it, null if unknown. `verdicts`: by peer id."""

    output: str
    votes: Count
    decided: bool
    underivable: bool
    own: bool | None
    verdicts: dict[str, Verdict]


class VoterDocument(_Document):
    """A member of a dispute's electorate, and what it has done."""

    peer_id: str
    class_: str | None = Field(alias="class")
    challenger: bool
    asked: bool
    sealed: bool
    seat: bool | None
    output: str | None
    lost: bool


class WholeDispute(_Dispute):
    """A dispute with its votes."""

    stage: str
    outputs: list[OutputDocument]
    voters: list[VoterDocument]


class JudgeDocument(_Document):
    """The engine on which an explanation is based."""

    role: Literal["own", "referee"]
    engine: str


class QuestionDocument(_Document):
    """The question of an audit."""

    id: str
    prompt: str
    prompt_tokens: Count
    tokens_max: Count
    temperature_milli: Count


class Limits(_Document):
    """The thresholds of a class for an answer of this length, in micronats."""

    match: int
    mismatch: int
    end: int
    alone: int


class MeasureDocument(_Document):
    """How far an answer lies from the judge's own, in micronats."""

    count: int
    total: int
    peak: int
    end: int
    limits: Limits | None


class CauseDocument(_Document):
    """The most likely cause of a difference."""

    cause: str
    value: int | None


class AnswerDocument(_Document):
    """The tokens of a claimed answer, and the tokens that the judge would have picked."""

    finish: str
    tokens: list[int]
    expected: list[int]
    text: str | None


class Difference(_Document):
    """The first position where the two answers differ; a token is null after the end of its answer."""

    position: Count
    claimed: int | None
    claimed_text: str
    expected: int | None
    expected_text: str
    margin: int | None
    common: str
    claimed_rest: str
    expected_rest: str


class JudgedAnswerDocument(_Document):
    """One asked peer's answer, as far as this node could check it; `missing` names the missing part."""

    peer_id: str
    class_: str | None = Field(alias="class")
    answered: bool
    elapsed_ms: Count
    missing: str | None
    verdict: Verdict | None
    answer: AnswerDocument | None
    difference: Difference | None
    margins: list[int]
    measure: MeasureDocument | None
    cause: CauseDocument | None


class ExplainedAudit(AuditDocument):
    """An audit with question, answers, and this node's judgement of them. Ask again until it is `complete`."""

    schema_: Literal["p2pverify/audit/1"] = Field(alias="schema")
    complete: bool
    notes: list[str]
    judge: JudgeDocument | None
    question: QuestionDocument | None
    answers: list[JudgedAnswerDocument]
    dispute: WholeDispute | None
