"""Comparing answers across classes: from a referee's margins to a measure, and from a measure to a verdict.

A referee (an engine that gives the same bits on every CPU) re-scores a claimed answer in one pass. The margin at a
position is the distance from the claimed token's logit up to the greatest logit. The sampler's noise, if there is any,
is added to the logits first. Honest numerics leave small margins, another model leaves large ones. Margins are integers
in micronats (1e-6 nat), so that all peers that score an answer get equal measures. The engines compute the margins.
Within one class digests are compared, and nothing here is needed.

The statistic is the sum of the squared margins, where the greatest square counts half. Rounding errors are about
normal, so the squares of their margins have a short, exponential tail. The sum of the margins themselves would grow
with every near-tie, and an honest answer has many. Now and then a single honest token is far off; in answers of another
model many tokens are (`protocol/compare.md` has the figures).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.encoding.canon import Value, as_array, as_uint, digest

VERDICT = "p2pverify/verdict/1"
SEALED = "p2pverify/sealed/1"
MICRO = 1_000_000
#: The most that one position counts, in 1e-6 square nats: the square of 2 nats.
CAP_MICRONATS = 4_000_000
PEAK_MAX = 2**32 - 1
TOTAL_MAX = ANSWER_TOKENS_MAX * CAP_MICRONATS
#: The margin of a missing end: the answer was cut short, or is malformed.
END_MISSING = 2**32 - 1


class Verdict(StrEnum):
    """The judgement of a measured answer. INCONCLUSIVE has no effect on a score."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class TokenScores:
    """An engine's scores of a claimed answer, one item per claimed token, in micronats (1e-6 nat).

    - `deficits`: how far the token's logit lies below the greatest one, with the sampler's noise if there is any. 0:
      the engine would have picked this token too.
    - `surprisals`: -log softmax of the logits at temperature 1.
    - `best`: the token that the engine would have picked after the claimed tokens before it.
    - `ends`: whether the token ends an answer.
    - `logits`: the digest that the engine's own answer would have if it had picked these tokens.
    """

    deficits: tuple[int, ...]
    surprisals: tuple[int, ...]
    best: tuple[int, ...]
    ends: tuple[bool, ...]
    logits: bytes


@dataclass(frozen=True, slots=True)
class Measure:
    """A referee's measure of one answer of `count` tokens.

    `total` is the sum over the margins (see `total_of`), in 1e-6 square nats. `peak` is the largest margin, `end` the
    margin of its end, both in micronats. `end` is 0 if the answer ended by its length, and END_MISSING if it did not
    end as it should.
    """

    count: int
    total: int
    peak: int
    end: int

    def to_value(self) -> list[object]:
        return [self.count, self.total, self.peak, self.end]


#: One item for each asked peer of a slot, None for a peer without a receipt.
Measures = tuple[Measure | None, ...]


def measure(deficits: Sequence[int], ends: Sequence[bool], finish: str, tokens_max: int) -> Measure:
    """The measure of an answer to a question of at most `tokens_max` tokens.

    `deficits` are the margins of its tokens in micronats, 0 or greater. `ends` says for each token whether it ends an
    answer. `finish` is the reason that the answer gives for its end.
    """
    peak = max(deficits, default=0)
    end = _end(deficits, ends, finish, tokens_max)
    return Measure(len(deficits), total_of(deficits), min(peak, PEAK_MAX), end)


def measure_claim(deficits: Sequence[int], ends: Sequence[bool], count: int, finish: str, tokens_max: int) -> Measure:
    """The measure of a claimed answer of `count` tokens. Without a score for each token it is malformed."""
    if len(deficits) != count:
        return malformed(count)  # a token is not in the vocabulary
    return measure(deficits, ends, finish, tokens_max)


def total_of(deficits: Sequence[int]) -> int:
    """The sum of the squared margins in 1e-6 square nats; the greatest square counts half, rounded down."""
    squares = [squared(deficit) for deficit in deficits]
    return sum(squares) - (max(squares, default=0) + 1) // 2


def squared(deficit: int) -> int:
    """The square of a margin (micronats) in 1e-6 square nats, at most CAP_MICRONATS."""
    return min(deficit * deficit // MICRO, CAP_MICRONATS)


def _end(deficits: Sequence[int], ends: Sequence[bool], finish: str, tokens_max: int) -> int:
    """The margin of an answer's end: the answer must stop at an end token or at its full length, not elsewhere."""
    if not ends or any(ends[:-1]) or len(ends) > tokens_max:
        return END_MISSING
    if finish == "stop" and ends[-1]:
        return min(deficits[-1], END_MISSING)
    return 0 if finish == "length" and len(ends) == tokens_max else END_MISSING


def malformed(count: int) -> Measure:
    """The measure of an answer that no engine can score: tokens outside the vocabulary, or too many tokens."""
    return Measure(count, count * CAP_MICRONATS, PEAK_MAX, END_MISSING)


def verdict(found: Measure, bounds: Across) -> Verdict:
    """Whether an honest peer of the class would give this answer. The bounds grow with the number of tokens."""
    if found.end > bounds.end_max or found.total > bounds.mismatch_total(found.count):
        return Verdict.MISMATCH
    if found.total <= bounds.match_total(found.count):
        return Verdict.MATCH
    return Verdict.INCONCLUSIVE


def as_usual(found: Measure, tokens: int) -> Measure:
    """The measure of an answer that is longer than `tokens`, brought to this length: what counts is its mean margin.

    Thresholds are fitted to answers of the usual length. In a long answer the honest margins average out.
    """
    if found.count <= tokens:
        return found
    return replace(found, count=tokens, total=found.total * tokens // found.count)


def verdict_digest(question: bytes, measures: Measures) -> bytes:
    """The content of a vote across classes: the measures of all receipts of a slot, in the order of the asked peers."""
    return digest([VERDICT, question, measures_value(measures)])


def measures_value(measures: Measures) -> list[object]:
    return [None if one is None else one.to_value() for one in measures]


def read_measures(value: Value, length_max: int) -> Measures:
    """Read decoded measures. Raises DecodeError."""
    return tuple(_measure(item) for item in as_array(value, "measures", length_max=length_max))


def _measure(value: Value) -> Measure | None:
    if value is None:
        return None
    count, total, peak, end = as_array(value, "measure", length=4)
    return Measure(
        as_uint(count, "count", ANSWER_TOKENS_MAX),
        as_uint(total, "total", TOTAL_MAX),
        as_uint(peak, "peak", PEAK_MAX),
        as_uint(end, "end", END_MISSING),
    )
