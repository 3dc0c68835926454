"""An explained audit as a document: the question, the judged answers, and the votes of its dispute."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.audits import AnyDispute, AuditDocument
from p2pverify.node.reports.documents.shape import CLASS, ApiDocument, Count

VerdictName = Literal["match", "mismatch", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class OutputDocument:
    """An output that got votes. `own`: whether this node would vote for it, null if unknown. `verdicts`: by peer id."""

    output: str
    votes: Count
    decided: bool
    underivable: bool
    own: bool | None
    verdicts: dict[str, VerdictName]


@dataclass(frozen=True, kw_only=True)
class VoterDocument:
    """A member of a dispute's electorate, and what it has done."""

    peer_id: str
    class_: str | None = field(metadata=CLASS)
    challenger: bool
    asked: bool
    sealed: bool
    seat: bool | None
    output: str | None
    lost: bool


@dataclass(frozen=True, kw_only=True)
class WholeDispute(AnyDispute):
    """A dispute with its votes."""

    stage: str
    outputs: tuple[OutputDocument, ...]
    voters: tuple[VoterDocument, ...]


@dataclass(frozen=True, kw_only=True)
class JudgeDocument:
    """The engine on which an explanation is based."""

    role: Literal["own", "referee"]
    engine: str


@dataclass(frozen=True, kw_only=True)
class QuestionDocument:
    """The question of an audit."""

    id: str
    prompt: str
    prompt_tokens: Count
    tokens_max: Count
    temperature_milli: Count


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds of a class for an answer of this length, in micronats."""

    match: int
    mismatch: int
    end: int
    alone: int


@dataclass(frozen=True, kw_only=True)
class MeasureDocument:
    """How far an answer lies from the judge's own, in micronats."""

    count: int
    total: int
    peak: int
    end: int
    limits: Limits | None


@dataclass(frozen=True, kw_only=True)
class CauseDocument:
    """The most likely cause of a difference."""

    cause: str
    value: int | None


@dataclass(frozen=True, kw_only=True)
class AnswerDocument:
    """The tokens of a claimed answer, and the tokens that the judge would have picked."""

    finish: str
    tokens: tuple[int, ...]
    expected: tuple[int, ...]
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
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


@dataclass(frozen=True, kw_only=True)
class JudgedAnswerDocument:
    """One asked peer's answer, as far as this node could check it; `missing` names the missing part."""

    peer_id: str
    class_: str | None = field(metadata=CLASS)
    answered: bool
    elapsed_ms: Count
    missing: str | None
    verdict: VerdictName | None
    answer: AnswerDocument | None
    difference: Difference | None
    margins: tuple[int, ...]
    measure: MeasureDocument | None
    cause: CauseDocument | None


@dataclass(frozen=True, kw_only=True)
class ReportDocument:
    """A report of an answer to a client. `shows`: to whom the reporter shows its question. `private`: the record has no
    digest of the question. `own_output`: the digest of the reporter's own answer, in a report without the question.
    """

    shows: Literal["seats", "nobody"]
    private: bool
    own_output: str | None
    equals_own: bool | None = field(metadata={"description": "whether the receipt is for the answer of this digest"})


@dataclass(frozen=True, kw_only=True)
class ExplainedAudit(AuditDocument, ApiDocument):
    """An audit with question, answers, and this node's judgement of them. Ask again until it is `complete`.

    With `report` it is no audit of a slot: a client of the `challenger` got the answer, and the challenger reported it.
    """

    schema: Literal["p2pverify/audit/1"]
    complete: bool
    notes: tuple[str, ...]
    judge: JudgeDocument | None
    question: QuestionDocument | None
    answers: tuple[JudgedAnswerDocument, ...]
    dispute: WholeDispute | None
    report: ReportDocument | None
