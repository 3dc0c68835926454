"""Comparing answers across classes: from a referee's margins to a measure, and from a measure to a verdict.

A referee (an engine that gives the same bits on every CPU) re-scores a claimed answer in one pass. The margin at a
position is how far the claimed token's logit, with the sampler's noise where there is any, lies below the greatest:
honest numerics leave small ones, another model large ones. Margins are in micronats (1e-6 nat), as integers, so that
all who score an answer get equal measures. How margins come about is left to the engines; in one class digests are
compared, and nothing here is needed.

The statistic is the sum of their squares, of which the greatest counts half. Rounding errors are about normal, so the
squares of the margins that they leave have a short, exponential tail; the sum of the margins themselves grows with
every near-tie, of which an honest answer has many. But now and then one honest token is far off, alone, where those
of another model are off in company (`protocol/compare.md` has the figures).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from p2pverify.core.contract.network import ANSWER_TOKENS_MAX, Across
from p2pverify.core.encoding.canon import Value, as_array, as_uint, digest

VERDICT = "p2pverify/verdict/1"
SEALED = "p2pverify/sealed/1"
MICRO = 1_000_000
#: What one position counts for at most, in 1e-6 square nats: that of a margin of 2 nats.
CAP_MICRONATS = 4_000_000
PEAK_MAX = 2**32 - 1
TOTAL_MAX = ANSWER_TOKENS_MAX * CAP_MICRONATS
#: The margin of an end that is not there: the answer was cut short, or is none.
END_MISSING = 2**32 - 1


class Verdict(StrEnum):
    """What a measure says of an answer; an inconclusive one counts for nothing."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a referee says of one answer: the total of the margins of its `count` tokens (see `total_of`), in 1e-6
    square nats, and in micronats the largest margin, and that of its end (0: it ended by its length; END_MISSING: it
    did not end as it should).
    """

    count: int
    total: int
    peak: int
    end: int

    def to_value(self) -> list[object]:
        return [self.count, self.total, self.peak, self.end]


#: One item for each asked peer of a slot, None for those without a receipt.
Measures = tuple[Measure | None, ...]


def measure(deficits: Sequence[int], ends: Sequence[bool], finish: str, tokens_max: int) -> Measure:
    """The measure of an answer to a question of at most `tokens_max` tokens.

    `deficits` are the margins of its tokens in micronats, not negative; `ends` whether each token ends an answer, and
    `finish` the reason that the answer gives for its end.
    """
    peak = max(deficits, default=0)
    end = _end(deficits, ends, finish, tokens_max)
    return Measure(len(deficits), total_of(deficits), min(peak, PEAK_MAX), end)


def total_of(deficits: Sequence[int]) -> int:
    """The sum of the squares of margins, of which the greatest counts half, rounded down."""
    squares = [squared(deficit) for deficit in deficits]
    return sum(squares) - (max(squares, default=0) + 1) // 2


def squared(deficit: int) -> int:
    """What a margin in micronats counts for: its square in 1e-6 square nats, up to the cap."""
    return min(deficit * deficit // MICRO, CAP_MICRONATS)


def _end(deficits: Sequence[int], ends: Sequence[bool], finish: str, tokens_max: int) -> int:
    """An answer goes on until a token ends it or its length is reached; nothing follows its end."""
    if not ends or any(ends[:-1]) or len(ends) > tokens_max:
        return END_MISSING
    if finish == "stop" and ends[-1]:
        return min(deficits[-1], END_MISSING)
    return 0 if finish == "length" and len(ends) == tokens_max else END_MISSING


def malformed(count: int) -> Measure:
    """The measure of what no engine can score: tokens that are not of the vocabulary, more than were asked for."""
    return Measure(count, count * CAP_MICRONATS, PEAK_MAX, END_MISSING)


def verdict(found: Measure, bounds: Across) -> Verdict:
    """Whether an answer is one that an honest peer of a class gives. The bounds grow with the number of tokens."""
    if found.end > bounds.end_max or found.total > bounds.mismatch_total(found.count):
        return Verdict.MISMATCH
    if found.total <= bounds.match_total(found.count):
        return Verdict.MATCH
    return Verdict.INCONCLUSIVE


def verdict_digest(question: bytes, measures: Measures) -> bytes:
    """What a vote across classes says: the measures of all receipts of a slot, in the order of those asked."""
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
