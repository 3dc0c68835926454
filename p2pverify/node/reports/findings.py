"""The findings of an audit's explanation so far, and an engine's judgement of one claimed answer.

The module `explain` finds the answers and the engines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isqrt

import trio

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import REFEREE
from p2pverify.core.inference.compare import MICRO, Measure, TokenScores, Verdict, as_usual, malformed, measure, verdict
from p2pverify.core.inference.diagnosis import TEMPERATURES, Cause, ClaimedAnswer, Supposition, find_cause
from p2pverify.core.inference.diagnosis import Finding as Likeliest
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.report import Report
from p2pverify.core.state.state import State
from p2pverify.node.ports import Engine
from p2pverify.node.reports.documents.audits import AuditDocument
from p2pverify.node.reports.documents.explained import (
    AnswerDocument,
    CauseDocument,
    Difference,
    ExplainedAudit,
    JudgedAnswerDocument,
    JudgeDocument,
    Limits,
    MeasureDocument,
    QuestionDocument,
    ReportDocument,
    WholeDispute,
)

#: Thresholds between near ties and other causes, for a class that has none: those of the packaged model, rounded up.
USUAL = Across(200_000, 500, 300_000, 1_000, 1_100_000, 10_000)


@dataclass(slots=True)
class Texts:
    """A claimed answer and the expected one as text: their common beginning, and the rest of each."""

    common: str
    claimed: str
    expected: str
    claimed_token: str
    expected_token: str


@dataclass(slots=True)
class AnswerFinding:
    """The findings on one asked peer's answer.

    `expected` are the tokens that the judge would have picked. Within a class, they are its own answer. Across classes,
    each one is its pick after the claimed tokens before it.
    """

    output: Output | None = None
    missing: str | None = None
    verdict: Verdict | None = None
    measure: Measure | None = None
    scored: TokenScores | None = None
    expected: tuple[int, ...] = ()
    texts: Texts | None = None
    claim: ClaimedAnswer | None = None
    cause: Likeliest | None = None


@dataclass(frozen=True, slots=True)
class AnswerToJudge:
    """An answer to be judged; `own` is the judge's own answer, or None if it has given none."""

    question: Question
    output: Output
    own: Output | None


@dataclass(slots=True)
class Explanation:
    """An explanation, which grows while it is worked on. `at` is the id of the final state at its start."""

    audit: Audit
    at: bytes
    contract: Network  # among the members that served the challenger's version, as soon as that is known
    role: str = ""
    engine: str = ""
    question: Question | None = None
    prompt: str = ""
    own: Output | None = None
    own_output: bytes | None = None
    answers: dict[bytes, AnswerFinding] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)

    def class_index(self, state: State) -> int | None:
        """The index of the class within which the question was asked, or of the challenger's class."""
        receipts = [asked.receipt for asked in self.audit.asked if asked.receipt is not None]
        if receipts and not self.audit.is_across:
            return receipts[0].class_index
        member = state.members.get(self.audit.challenger)
        return None if member is None else member.class_index

    def judge_digest(self, asked: AskedPeer, finding: AnswerFinding) -> None:
        """Within a class, a receipt alone shows whether the answer equals this node's own."""
        if self.own_output is not None and asked.receipt is not None:
            equal = self.audit.matches(asked.receipt, self.own_output)
            finding.verdict = Verdict.MATCH if equal else Verdict.MISMATCH

    def judge_measure(self, asked: AskedPeer, finding: AnswerFinding) -> None:
        """Across classes, the measure decides, by the thresholds of the class of the answer."""
        bounds = bounds_of(self.contract, asked)
        if self.audit.is_across and finding.measure is not None and bounds is not None:
            finding.verdict = verdict(as_usual(finding.measure, self.contract.params.answer_tokens), bounds)

    def worth_supposing(self, finding: AnswerFinding) -> list[int]:
        """Temperatures, in thousandths, at which a mismatch is worth scoring again."""
        if finding.verdict is not Verdict.MISMATCH or finding.claim is None or not any(finding.claim.scores.deficits):
            return []
        return [milli for milli in TEMPERATURES if milli != finding.claim.ask.temperature_milli]

    def find_cause(self, asked: AskedPeer, finding: AnswerFinding) -> None:
        if finding.claim is not None:
            finding.cause = find_cause(finding.claim, bounds_of(self.contract, asked) or USUAL)

    def to_document(self, told: AuditDocument, votes: WholeDispute | None, report: Report | None) -> ExplainedAudit:
        """The explanation so far, of an audit that a list shows as `told`. Readers convert micronats to nats."""
        return ExplainedAudit(
            schema="p2pverify/audit/1",
            **vars(told),
            complete=self.done.is_set(),
            notes=tuple(self.notes),
            judge=self._judge(),
            question=None if self.question is None else _question(self.question, self.prompt),
            answers=tuple(
                _answer(self.contract, asked, self.answers.get(asked.responder), is_across=self.audit.is_across)
                for asked in self.audit.asked
            ),
            dispute=votes,
            report=None if report is None else _report(self.audit, report),
        )

    def _judge(self) -> JudgeDocument | None:
        if not self.engine:
            return None
        return JudgeDocument(role="referee" if self.role == REFEREE else "own", engine=self.engine)


def _report(audit: Audit, report: Report) -> ReportDocument:
    own = report.output
    return ReportDocument(
        shows="seats" if own is None else "nobody",
        private=audit.is_private,
        own_output=None if own is None else own.hex(),
        equals_own=None if own is None else audit.matches(report.receipt, own),
    )


def bounds_of(network: Network, asked: AskedPeer) -> Across | None:
    """The thresholds of the class that an answer comes from."""
    index = -1 if asked.receipt is None else asked.receipt.class_index
    return network.classes[index].across if 0 <= index < len(network.classes) else None


# ---------------------------------------------------------------- with an engine, in its thread


def judge_answer(judged: AnswerToJudge, finding: AnswerFinding, engine: Engine) -> None:
    """Score a claimed answer and decode it. Raises ValueError as an engine does, but still sets the measure."""
    question, output = judged.question, judged.output
    tokens = output.tokens
    vocabulary = engine.info.vocab_tokens
    if not 0 < len(tokens) <= question.tokens_max or any(not 0 <= token < vocabulary for token in tokens):
        finding.measure = malformed(len(tokens))
        raise ValueError("no engine can have given this answer: it is empty, too long, or has unknown tokens")
    scored = engine.score(question.ask, tokens)
    finding.scored = scored
    finding.measure = measure(scored.deficits, scored.ends, output.finish, question.tokens_max)
    finding.expected = scored.best if judged.own is None else judged.own.tokens
    finding.texts = _read(engine, tokens, finding.expected)
    same_logits = None if judged.own is None else scored.logits == output.logits
    finding.claim = ClaimedAnswer(question.ask, output, scored, same_logits=same_logits)


def suppose(judged: AnswerToJudge, finding: AnswerFinding, temperature_milli: int, engine: Engine) -> None:
    """Score the answer as if its question had asked for another temperature, in thousandths."""
    assert finding.claim is not None
    ask = replace(finding.claim.ask, temperature_milli=temperature_milli)
    deficits = engine.score(ask, judged.output.tokens).deficits
    made = Supposition(Cause.TEMPERATURE, temperature_milli, deficits)
    finding.claim = replace(finding.claim, suppositions=(*finding.claim.suppositions, made))


def _read(engine: Engine, claimed: Sequence[int], expected: Sequence[int]) -> Texts:
    place = first_difference(claimed, expected)
    if place is None:
        return Texts(engine.decode(claimed), "", "", "", "")
    return Texts(
        engine.decode(claimed[:place]),
        engine.decode(claimed[place:]),
        engine.decode(expected[place:]),
        engine.decode(claimed[place : place + 1]),
        engine.decode(expected[place : place + 1]),
    )


def first_difference(claimed: Sequence[int], expected: Sequence[int]) -> int | None:
    """The first position where two answers differ, or where the shorter one ends. None if they are equal."""
    if tuple(claimed) == tuple(expected):
        return None
    pairs = zip(claimed, expected, strict=False)
    short = min(len(claimed), len(expected))
    return next((place for place, (one, other) in enumerate(pairs) if one != other), short)


# ---------------------------------------------------------------- documents


def _question(question: Question, prompt: str) -> QuestionDocument:
    return QuestionDocument(
        id=question.id.hex(),
        prompt=prompt,
        prompt_tokens=len(question.prompt),
        tokens_max=question.tokens_max,
        temperature_milli=question.temperature_milli,
    )


def _answer(
    network: Network, asked: AskedPeer, finding: AnswerFinding | None, *, is_across: bool
) -> JudgedAnswerDocument:
    receipt = asked.receipt
    index = None if receipt is None else receipt.class_index
    found = finding or AnswerFinding()
    bounds = bounds_of(network, asked) if is_across else None
    return JudgedAnswerDocument(
        peer_id=peer_id(asked.responder),
        class_=network.classes[index].name if index is not None and index < len(network.classes) else None,
        answered=receipt is not None,
        elapsed_ms=asked.elapsed_ms,
        missing=found.missing,
        verdict=None if found.verdict is None else found.verdict.value,
        answer=_output(found),
        difference=_difference(found),
        margins=() if found.output is None or found.scored is None else found.scored.deficits,
        measure=None if found.measure is None else _measure(found.measure, bounds, network.params.answer_tokens),
        cause=None if found.cause is None else CauseDocument(cause=found.cause.cause.value, value=found.cause.value),
    )


def _output(found: AnswerFinding) -> AnswerDocument | None:
    output, texts = found.output, found.texts
    if output is None:
        return None
    return AnswerDocument(
        finish=output.finish,
        tokens=output.tokens,
        expected=found.expected,
        text=None if texts is None else texts.common + texts.claimed,
    )


def _difference(found: AnswerFinding) -> Difference | None:
    """The first position where claimed and expected answer differ. A token is None after the end of its answer."""
    output, texts, scored = found.output, found.texts, found.scored
    if output is None or texts is None or not found.expected:
        return None
    place = first_difference(output.tokens, found.expected)
    if place is None:
        return None
    claimed = output.tokens[place] if place < len(output.tokens) else None
    return Difference(
        position=place,
        claimed=claimed,
        claimed_text=texts.claimed_token,
        expected=found.expected[place] if place < len(found.expected) else None,
        expected_text=texts.expected_token,
        margin=scored.deficits[place] if scored is not None and claimed is not None else None,
        common=texts.common,
        claimed_rest=texts.claimed,
        expected_rest=texts.expected,
    )


def _measure(found: Measure, bounds: Across | None, usual_tokens: int) -> MeasureDocument:
    limits = None if bounds is None else _limits(found.count, bounds, usual_tokens)
    return MeasureDocument(count=found.count, total=found.total, peak=found.peak, end=found.end, limits=limits)


def _limits(count: int, bounds: Across, usual_tokens: int) -> Limits:
    """The bounds for an answer of `count` tokens. One that is longer than usual is judged by its mean margin."""
    usual = min(count, usual_tokens)
    match, mismatch = (
        total(usual) * count // usual if count > usual else total(count)
        for total in (bounds.match_total, bounds.mismatch_total)
    )
    return Limits(match=match, mismatch=mismatch, end=bounds.end_max, alone=alone(mismatch))


def alone(mismatch: int) -> int:
    """The margin in micronats at which one token alone makes a total a mismatch; the cap is ignored."""
    return isqrt(2 * mismatch * MICRO)  # the greatest margin counts half
