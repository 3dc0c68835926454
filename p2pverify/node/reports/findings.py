"""The findings of an audit's explanation so far, and an engine's judgement of one claimed answer.

The module `explain` finds the answers and the engines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isqrt

import trio

from p2pverify.core.contract.network import Across, Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.compare import MICRO, Measure, Verdict, malformed, measure, verdict
from p2pverify.core.inference.diagnosis import TEMPERATURES, Cause, ClaimedAnswer, Supposition, find_cause
from p2pverify.core.inference.diagnosis import Finding as Likeliest
from p2pverify.core.inference.question import Question
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.roles.evidence import Output
from p2pverify.core.state.state import State
from p2pverify.node.ports import Engine, TokenScores

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

    def judge_measure(self, network: Network, asked: AskedPeer, finding: AnswerFinding) -> None:
        """Across classes, the measure decides, by the thresholds of the class of the answer."""
        bounds = bounds_of(network, asked)
        if self.audit.is_across and finding.measure is not None and bounds is not None:
            finding.verdict = verdict(finding.measure, bounds)

    def worth_supposing(self, finding: AnswerFinding) -> list[int]:
        """Temperatures, in thousandths, at which a mismatch is worth scoring again."""
        if finding.verdict is not Verdict.MISMATCH or finding.claim is None or not any(finding.claim.deficits):
            return []
        return [milli for milli in TEMPERATURES if milli != finding.claim.temperature_milli]

    def find_cause(self, network: Network, asked: AskedPeer, finding: AnswerFinding) -> None:
        if finding.claim is not None:
            finding.cause = find_cause(finding.claim, bounds_of(network, asked) or USUAL)

    def to_document(self, network: Network) -> dict[str, object]:
        """The explanation as JSON values. Margins are in micronats; readers convert them to nats."""
        question = self.question
        return {
            "complete": self.done.is_set(),
            "notes": list(self.notes),
            "judge": {"role": self.role, "engine": self.engine} if self.engine else None,
            "question": question
            and {
                "id": question.id.hex(),
                "prompt": self.prompt,
                "prompt_tokens": len(question.prompt),
                "tokens_max": question.tokens_max,
                "temperature_milli": question.temperature_milli,
            },
            "answers": [
                _answer(network, asked, self.answers.get(asked.responder), is_across=self.audit.is_across)
                for asked in self.audit.asked
            ],
        }


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
    scored = _score(judged, engine, question.temperature_milli)
    finding.scored = scored
    finding.measure = measure(scored.deficits, scored.ends, output.finish, question.tokens_max)
    finding.expected = scored.best if judged.own is None else judged.own.tokens
    finding.texts = _read(engine, tokens, finding.expected)
    finding.claim = ClaimedAnswer(
        tokens,
        scored.best,
        scored.deficits,
        scored.surprisals,
        scored.ends,
        output.finish,
        question.tokens_max,
        question.temperature_milli,
        (),
        None if judged.own is None else scored.logits_sha256 == output.logits,
    )


def suppose(judged: AnswerToJudge, finding: AnswerFinding, temperature_milli: int, engine: Engine) -> None:
    """Score the answer as if its question had asked for another temperature, in thousandths."""
    assert finding.claim is not None
    deficits = _score(judged, engine, temperature_milli).deficits
    made = Supposition(Cause.TEMPERATURE, temperature_milli, deficits)
    finding.claim = replace(finding.claim, suppositions=(*finding.claim.suppositions, made))


def _score(judged: AnswerToJudge, engine: Engine, temperature_milli: int) -> TokenScores:
    question = judged.question
    return engine.score(
        question.prompt,
        judged.output.tokens,
        temperature_milli=temperature_milli,
        sampler_key=question.sampler_key,
    )


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


def _answer(network: Network, asked: AskedPeer, finding: AnswerFinding | None, *, is_across: bool) -> dict[str, object]:
    receipt = asked.receipt
    index = None if receipt is None else receipt.class_index
    found = finding or AnswerFinding()
    return {
        "peer_id": peer_id(asked.responder),
        "class": network.classes[index].name if index is not None and index < len(network.classes) else None,
        "answered": receipt is not None,
        "elapsed_ms": asked.elapsed_ms,
        "missing": found.missing,
        "verdict": found.verdict and str(found.verdict),
        **_output(found),
        "measure": found.measure and _measure(found.measure, bounds_of(network, asked) if is_across else None),
        "cause": found.cause
        and {
            "cause": str(found.cause.cause),
            "value": found.cause.value,
        },
    }


def _output(found: AnswerFinding) -> dict[str, object]:
    output, texts = found.output, found.texts
    if output is None:
        return {"answer": None, "difference": None, "margins": []}
    place = first_difference(output.tokens, found.expected) if found.expected else None
    answer = {
        "finish": output.finish,
        "tokens": list(output.tokens),
        "expected": list(found.expected),
        "text": texts and texts.common + texts.claimed,
    }
    return {
        "answer": answer,
        "difference": None if place is None or texts is None else _difference(found, output, place, texts),
        "margins": [] if found.scored is None else list(found.scored.deficits),
    }


def _difference(found: AnswerFinding, output: Output, place: int, texts: Texts) -> dict[str, object]:
    """The first position where claimed and expected answer differ. A token is None after the end of its answer."""
    scored = found.scored
    claimed = output.tokens[place] if place < len(output.tokens) else None
    expected = found.expected[place] if place < len(found.expected) else None
    return {
        "position": place,
        "claimed": claimed,
        "claimed_text": texts.claimed_token,
        "expected": expected,
        "expected_text": texts.expected_token,
        "margin": scored.deficits[place] if scored is not None and claimed is not None else None,
        "common": texts.common,
        "claimed_rest": texts.claimed,
        "expected_rest": texts.expected,
    }


def _measure(found: Measure, bounds: Across | None) -> dict[str, object]:
    limits = bounds and {
        "match": bounds.match_total(found.count),
        "mismatch": bounds.mismatch_total(found.count),
        "end": bounds.end_max,
        "alone": alone(bounds, found.count),
    }
    return {"count": found.count, "total": found.total, "peak": found.peak, "end": found.end, "limits": limits}


def alone(bounds: Across, count: int) -> int:
    """The margin in micronats at which one token alone makes a mismatch; the cap is ignored."""
    return isqrt(2 * bounds.mismatch_total(count) * MICRO)  # the greatest margin counts half
