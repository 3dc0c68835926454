"""The audit of an endpoint: what its answers show, and a file from which anybody with the model finds the same.

A model server outside of any network is asked ordinary questions at temperature 0. The referee measures each answer
(`compare`), and a sequential test (`pooled`) concludes after each one. Server and answers are the auditor's word,
because servers sign nothing. All the rest can be computed again. Protocol page: protocol/endpoint.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import comb

from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.manifest import MANIFEST_BYTES_MAX, Manifest, decode_manifest
from p2pverify.core.contract.odds import test_steps
from p2pverify.core.contract.output import FINISHES, NO_KEY, Ask
from p2pverify.core.contract.pool import MILLION
from p2pverify.core.encoding.canon import (
    TOKEN_MAX,
    Value,
    as_array,
    as_bytes,
    as_text,
    as_uint,
    decode,
    digest,
    encode,
    read_tokens,
)
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference import pooled
from p2pverify.core.inference.compare import Measure, Verdict, measures_value, read_measures, verdict

DOMAIN = "p2pverify/endpoint-evidence/1"
QUESTION = "p2pverify/endpoint-question/1"
ENDPOINT_EVIDENCE_BYTES_MAX = 16_777_216
AUDIT_REQUESTS_MAX = 1000
AUDIT_PROMPT_TOKENS_MAX = 512
AUDIT_ANSWER_TOKENS_MAX = 256
TURN_TOKENS_MAX = 192
TURN_BYTES_MAX = 4096
REPLY_BYTES_MAX = 8192
NAME_BYTES_MAX = 512
REASON_BYTES_MAX = 256
#: The odds at which a server is accused. An honest server is accused in at most one of so many audits.
ODDS = 1_000_000
_CONFIDENCE = 20  # a bound fails in at most one of so many audits


class Api(StrEnum):
    """Which interface of the server was asked: chat messages, or a completion of token ids."""

    CHAT = "chat"
    COMPLETIONS = "completions"


class Reading(StrEnum):
    """How the tokens of an answer were found: named by the server, by tokenising its text again, or not at all."""

    TOKENS = "tokens"
    TEXT = "text"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What was fixed before the first question.

    `turn_tokens` limits the user's turn, `answer_tokens` the answer. `system` is the system message, "" for none.
    Questions follow from `seed` (16 B): the referee writes them, or they are lines of a file with the digest `corpus`.
    """

    api: Api
    requests: int
    turn_tokens: int
    answer_tokens: int
    system: str
    seed: bytes
    corpus: bytes | None = None

    def question_seed(self, number: int) -> bytes:
        """The seed (16 B) of a question."""
        return digest([QUESTION, self.seed, number])[:16]

    def corpus_line(self, number: int, lines: int) -> int:
        """The line of a corpus of `lines` prompts that is the question with this number."""
        return int.from_bytes(self.question_seed(number), "big") % lines

    def ask(self, prompt: tuple[int, ...]) -> Ask:
        """A question as the referee gets it: greedy, because a server's own sampler cannot be replayed."""
        return Ask(prompt, self.answer_tokens, 0, NO_KEY)

    def to_value(self) -> list[object]:
        return [
            self.api.value,
            self.requests,
            self.turn_tokens,
            self.answer_tokens,
            self.system,
            self.seed,
            self.corpus,
        ]


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """A question, its prompt as the template makes it, and what the server answered.

    `measure` is None for an answer that is not judged; `reason` then says why, and there are no tokens. `counted` is
    the number of prompt tokens that the server reports, None if it reports none.
    """

    turn: str
    prompt: tuple[int, ...]
    reading: Reading
    reply: str
    tokens: tuple[int, ...] = ()
    finish: str = ""
    measure: Measure | None = None
    counted: int | None = None
    reason: str = ""

    def to_value(self) -> list[object]:
        return [
            self.turn,
            list(self.prompt),
            self.reading.value,
            self.reply,
            list(self.tokens),
            self.finish,
            measures_value((self.measure,))[0],
            self.counted,
            self.reason,
        ]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the answers so far show.

    - `verdict`: MISMATCH if the test has reached the odds. MATCH if the test speaks for the server, and at least half
      of the answers were judged. INCONCLUSIVE otherwise.
    - `capital`: the logarithm of the odds against the server, in 1/1024 nat.
    - `bound_ppm`: with 95 % confidence at most this share of the answers are mismatches; None if nothing can be said.
    """

    verdict: Verdict
    asked: int
    judged: int
    mismatches: int
    capital: int
    bound_ppm: int | None

    def to_value(self) -> list[object]:
        return [self.verdict.value, self.judged, self.mismatches, self.capital, self.bound_ppm]


def conclude(measures: Sequence[Measure | None], bounds: Across, requests: int) -> Conclusion:
    """What measures show, in the order of the questions; None for an answer that is not judged.

    `requests` is the number that was planned. The test stops at the first measure that reaches the odds. Raises
    ValueError for thresholds without a pool.
    """
    if bounds.pool is None:
        raise ValueError("these thresholds have no pooled test")
    found = [one for one in measures if one is not None]
    capital = pooled.reserve(0)
    for number, one in enumerate(found):
        if capital >= accused_at():
            break
        # A new start is decided before the answer is seen, so all starts together are one e-process.
        up = pooled.evidence(one, bounds)
        assert up is not None
        capital = max(capital, pooled.reserve(number)) + up
    mismatches = sum(verdict(one, bounds) is Verdict.MISMATCH for one in found)
    is_accused = capital >= accused_at()
    bound = None
    if found and not is_accused and (not mismatches or len(measures) == requests):
        bound = at_most_ppm(mismatches, len(found))
    kind = Verdict.INCONCLUSIVE
    if is_accused:
        kind = Verdict.MISMATCH
    elif found and capital < 0 and 2 * len(found) >= len(measures):
        kind = Verdict.MATCH
    return Conclusion(kind, len(measures), len(found), mismatches, capital, bound)


@lru_cache(maxsize=1)
def accused_at() -> int:
    """The capital at which a server is accused, in 1/1024 nat."""
    return test_steps(1, 2, ODDS).threshold


def at_most_ppm(failures: int, trials: int) -> int:
    """Upper end of the one-sided 95 % interval of a rate (Clopper, Pearson 1934), in parts per million, rounded up.

    Without failures it also holds if the trials were stopped at any time: the first trials that suffice for a bound
    have no failure either.
    """
    if failures >= trials:
        return MILLION
    low, high = 0, MILLION
    while high - low > 1:
        middle = (low + high) // 2
        chance = sum(
            comb(trials, count) * middle**count * (MILLION - middle) ** (trials - count)
            for count in range(failures + 1)
        )
        if _CONFIDENCE * chance > MILLION**trials:
            low = middle
        else:
            high = middle
    return high


def thresholds(manifest: Manifest, referee: str) -> Across | None:
    """How a referee judges answers of an unknown path; None if the manifest has no such thresholds with a pool."""
    found = manifest.bounds(referee).get((ANY, ANY))
    return None if found is None or found.pool is None else found


# ---------------------------------------------------------------- the file


@dataclass(frozen=True, slots=True)
class EndpointEvidence:
    """An audit as a file. `manifest` is canonical; `began_ms` is the auditor's clock (Unix time in ms)."""

    manifest: bytes
    referee: str
    url: str
    model: str
    began_ms: int
    plan: AuditPlan
    answers: tuple[EndpointAnswer, ...]
    conclusion: Conclusion

    def encode(self) -> bytes:
        return encode(
            [
                DOMAIN,
                self.manifest,
                self.referee,
                self.url,
                self.model,
                self.began_ms,
                self.plan.to_value(),
                [answer.to_value() for answer in self.answers],
                self.conclusion.to_value(),
            ]
        )


def decode_endpoint_evidence(data: bytes) -> EndpointEvidence:
    """Read an evidence file strictly, and check that its conclusion follows from its measures. Raises DecodeError."""
    top = as_array(decode(data, size_max=ENDPOINT_EVIDENCE_BYTES_MAX, depth_max=5), "evidence", length=9)
    if top[0] != DOMAIN:
        raise DecodeError("not evidence of an endpoint")
    manifest = as_bytes(top[1], "manifest", size_max=MANIFEST_BYTES_MAX)
    referee = as_text(top[2], "referee", 128)
    bounds = thresholds(decode_manifest(manifest), referee)
    if bounds is None:
        raise DecodeError("the manifest has no thresholds of this referee for unknown paths")
    plan = _plan(top[6])
    answers = tuple(_answer(item, plan) for item in as_array(top[7], "answers", length_max=plan.requests))
    if not answers:
        raise DecodeError("no question was asked")
    measures = [answer.measure for answer in answers]
    found = EndpointEvidence(
        manifest,
        referee,
        as_text(top[3], "url", NAME_BYTES_MAX),
        as_text(top[4], "model", NAME_BYTES_MAX),
        as_uint(top[5], "began_ms"),
        plan,
        answers,
        conclude(measures, bounds, plan.requests),
    )
    if found.conclusion.to_value() != top[8]:
        raise DecodeError("the conclusion does not follow from the measures")
    if conclude(measures[:-1], bounds, plan.requests).verdict is Verdict.MISMATCH:
        raise DecodeError("there are questions after the end")
    return found


def _plan(value: Value) -> AuditPlan:
    api, requests, turn, tokens, system, seed, corpus = as_array(value, "plan", length=7)
    found = AuditPlan(
        Api(_word(api, "api", tuple(Api))),
        as_uint(requests, "requests", AUDIT_REQUESTS_MAX),
        as_uint(turn, "turn_tokens", TURN_TOKENS_MAX),
        as_uint(tokens, "answer_tokens", AUDIT_ANSWER_TOKENS_MAX),
        as_text(system, "system", NAME_BYTES_MAX),
        as_bytes(seed, "seed", size=16),
        None if corpus is None else as_bytes(corpus, "corpus", size=32),
    )
    if not found.requests or not found.turn_tokens or not found.answer_tokens:
        raise DecodeError("the plan asks for nothing")
    return found


def _answer(value: Value, plan: AuditPlan) -> EndpointAnswer:
    turn, prompt, reading, reply, tokens, finish, measured, counted, reason = as_array(value, "answer", length=9)
    (found,) = read_measures([measured], 1)
    read = EndpointAnswer(
        as_text(turn, "turn", TURN_BYTES_MAX),
        read_tokens(prompt, "prompt", AUDIT_PROMPT_TOKENS_MAX),
        Reading(_word(reading, "reading", tuple(Reading))),
        as_text(reply, "reply", REPLY_BYTES_MAX),
        read_tokens(tokens, "tokens", plan.answer_tokens + 1),
        _word(finish, "finish", (*FINISHES, "")),
        found,
        None if counted is None else as_uint(counted, "counted", TOKEN_MAX),
        as_text(reason, "reason", REASON_BYTES_MAX),
    )
    is_judged = read.reading is not Reading.NONE
    if not read.prompt:
        raise DecodeError("a prompt is empty")
    if is_judged != (found is not None) or is_judged != bool(read.tokens) or is_judged != bool(read.finish):
        raise DecodeError("an answer is judged in part")
    if is_judged == bool(read.reason):
        raise DecodeError("the reason is missing, or there is one too many")
    if found is not None and found.count != len(read.tokens):
        raise DecodeError("a measure counts other tokens")
    return read


def _word(value: Value, name: str, words: Sequence[str]) -> str:
    found = as_text(value, name, 16)
    if found not in words:
        raise DecodeError(f"unknown {name}")
    return found
