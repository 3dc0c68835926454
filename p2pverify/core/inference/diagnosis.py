"""The likeliest cause of an answer that does not match, from an engine's scores of it, in integers.

It decides nothing: a verdict depends on the measure alone (`compare`). A cause is for people, and may be wrong. The
rules were found on answers of one small model; `protocol/compare.md` says how often each of them is right. This module
lists the suppositions that are worth a second scoring; the caller tries them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import END_MISSING, MICRO, TokenScores, measure, total_of

_ROUGH = Context(prec=12)

#: Temperatures (times 1000) to suppose for an answer; 0 is greedy.
TEMPERATURES = (0, 500, 650, 700, 900, 1000, 1200, 1500)

FRONT = 8  # tokens at the beginning, where the prompt matters most
FRONT_SURPRISAL = 1_500_000  # if the prompt was another, they are less likely than the rest by this much (micronats)
FRONT_MARGIN, FRONT_TIMES = 1_000_000, 3  # their mean margin then, and its least multiple of the rest's mean
PROMPT_PEAK = 8_000_000  # coarser weights never make a token this unlikely
FAR = 4_000_000  # the most that one margin counts at the front
MARGIN_CAP = 2_000_000  # ... and in the whole answer
INFORMATION_MIN = 2 * MICRO  # least variance of the agreements by chance; below it a wrong seed cannot be told
CHANCE_SIGMAS = 3
OWN_SURPRISAL = 3_200_000  # greatest mean surprisal of a model's own samples
MODEL_MEAN = 450_000  # a mean margin from this on is another model; below SMALL_MEAN a small cause is possible
SMALL_MEAN = 130_000
PROMPT_SIZE = 1_200_000  # weighted mean of the margins; from this on few tokens are off, but far
TOKENS_MIN = 2 * FRONT


class Cause(StrEnum):
    """The likeliest cause of a difference."""

    NONE = "none"
    NEAR_TIE = "near-tie"
    NUMERICS = "other numerics"
    TRUNCATED = "truncated"
    SEED = "wrong seed"
    TEMPERATURE = "other temperature"
    PROMPT = "other prompt"
    QUANTISATION = "other quantisation"
    MODEL = "other model"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Supposition:
    """The margins of the same answer under another temperature or prompt: `cause` is TEMPERATURE or PROMPT.

    `value` is the supposed temperature (times 1000), or the number of the supposed prompt.
    """

    cause: Cause
    value: int
    deficits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClaimedAnswer:
    """A claimed answer to a question, and an engine's scores of it.

    `same_logits`: whether the answer's logits equal the engine's own, bit for bit; None if they cannot be compared.
    """

    ask: Ask
    output: Output
    scores: TokenScores
    suppositions: tuple[Supposition, ...] = ()
    same_logits: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, and the first position where the engine would have picked another token: None if there is none.

    `margin` is the margin of the claimed token there. `value` is the supposed temperature or prompt, if known.
    """

    cause: Cause
    position: int | None
    margin: int
    value: int | None = None


def find_cause(claim: ClaimedAnswer, bounds: Across) -> Finding:
    """The likeliest cause of a difference; `bounds` are the thresholds of the class that the answer comes from."""
    tokens, scores = claim.output.tokens, claim.scores
    place = next((at for at, token in enumerate(tokens) if token != scores.best[at]), None)
    margin = 0 if place is None else scores.deficits[place]
    cause, value = _cause(claim, bounds)
    if cause is Cause.TRUNCATED and place is None:
        place = len(tokens)
    return Finding(cause, place, margin, value)


def _cause(claim: ClaimedAnswer, bounds: Across) -> tuple[Cause, int | None]:
    deficits = claim.scores.deficits
    found = measure(deficits, claim.scores.ends, claim.output.finish, claim.ask.tokens_max)
    body = deficits[:-1] if 0 < found.end < END_MISSING else deficits
    if _fits(body, bounds):
        if found.end > bounds.end_max:
            return Cause.TRUNCATED, None
        if any(deficits):
            return (Cause.NEAR_TIE if _fits(deficits, bounds) else Cause.UNKNOWN), None
        return (Cause.NUMERICS if claim.same_logits is False else Cause.NONE), None
    likeliest = min(claim.suppositions, key=lambda one: total_of(one.deficits), default=None)
    if likeliest is not None and _fits(likeliest.deficits, bounds):
        return likeliest.cause, likeliest.value
    if len(deficits) < TOKENS_MIN:
        return Cause.UNKNOWN, None
    if claim.ask.temperature_milli and _is_noise_unrelated(claim.output.tokens, claim.scores):
        return _of_other_noise(claim.scores.surprisals), None
    return _by_size(deficits), None


def _fits(deficits: Sequence[int], bounds: Across) -> bool:
    """Whether these margins are not a mismatch."""
    return total_of(deficits) <= bounds.mismatch_total(len(deficits))


def _is_noise_unrelated(tokens: Sequence[int], scores: TokenScores) -> bool:
    """Whether the answer agrees with the sampler's picks no more often than by chance.

    With an unrelated key, a token is picked with about its probability. With the right key, even another model shares
    the noise, so it picks the same token far more often.
    """
    chances = [_chance_ppm(surprisal) for surprisal in scores.surprisals]
    variance = sum(chance * (MICRO - chance) // MICRO for chance in chances)
    if variance < INFORMATION_MIN:
        return False
    agreements = sum(token == best for token, best in zip(tokens, scores.best, strict=True))
    surplus = agreements * MICRO - sum(chances)
    return surplus <= 0 or surplus * surplus < CHANCE_SIGMAS**2 * variance * MICRO


def _chance_ppm(surprisal: int) -> int:
    """exp(-surprisal), in parts per million."""
    return int(_ROUGH.multiply(_ROUGH.exp(_ROUGH.divide(Decimal(-surprisal), Decimal(MICRO))), Decimal(MICRO)))


def _of_other_noise(surprisals: Sequence[int]) -> Cause:
    """The cause for an answer with unrelated noise: does the model find it as likely as its own samples?"""
    front, rest = _means(surprisals)
    if front > rest + FRONT_SURPRISAL:
        return Cause.PROMPT
    return Cause.SEED if sum(surprisals) <= OWN_SURPRISAL * len(surprisals) else Cause.MODEL


def _by_size(deficits: Sequence[int]) -> Cause:
    """The cause by the number of tokens that are off, by how far, and where.

    An answer to another prompt is off at its beginning, or by more than coarser weights cause. Another model is far off
    everywhere, coarser weights a little. A hidden prompt changes only a few tokens, but these completely.
    """
    front, rest = _means([min(deficit, FAR) for deficit in deficits])
    if max(deficits) >= PROMPT_PEAK or front >= max(FRONT_MARGIN, FRONT_TIMES * rest):
        return Cause.PROMPT
    capped = [min(deficit, MARGIN_CAP) for deficit in deficits]
    total = sum(capped)
    mean, size = total // len(capped), sum(margin * margin for margin in capped) // total
    if mean >= MODEL_MEAN:
        return Cause.MODEL
    if size >= PROMPT_SIZE and mean < SMALL_MEAN:
        return Cause.PROMPT
    return Cause.QUANTISATION


def _means(values: Sequence[int]) -> tuple[int, int]:
    """The means of the front and of the rest."""
    return sum(values[:FRONT]) // FRONT, sum(values[FRONT:]) // (len(values) - FRONT)
