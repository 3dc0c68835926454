"""Causes: each follows from its own traces, and too few tokens give none."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import NO_KEY, NO_LOGITS, Ask, Output
from p2pverify.core.inference.compare import TokenScores, Verdict, measure, verdict
from p2pverify.core.inference.diagnosis import Cause, ClaimedAnswer, Finding, Supposition, find_cause

BOUNDS = Across(200_000, 500, 300_000, 1_000, 1_000_000, 10_000)
COUNT = 64
HALF = 693_147  # surprisal of a token with a probability of one half, in micronats
CERTAIN = 1_000


def claim(
    margins: dict[int, int], *, surprisal: int = HALF, temperature_milli: int = 800, count: int = COUNT
) -> ClaimedAnswer:
    """An answer of `count` tokens that ends by its length and has these margins at these positions."""
    scores = TokenScores(
        deficits=tuple(margins.get(place, 0) for place in range(count)),
        surprisals=(surprisal,) * count,
        best=tuple(1_000 + place if place in margins else place for place in range(count)),
        ends=(False,) * count,
        logits=NO_LOGITS,
    )
    return ClaimedAnswer(Ask((), count, temperature_milli, NO_KEY), Output(tuple(range(count)), "length"), scores)


def cut(short: ClaimedAnswer, finish: str) -> ClaimedAnswer:
    """The answer with this finish, for a question that asked for COUNT tokens."""
    return replace(short, ask=replace(short.ask, tokens_max=COUNT), output=replace(short.output, finish=finish))


def every(step: int, margin: int, start: int = 0) -> dict[int, int]:
    return dict.fromkeys(range(start, COUNT, step), margin)


def test_no_difference_has_no_cause() -> None:
    """Tokens are equal, and so are logits if they can be compared."""
    assert find_cause(claim({}), BOUNDS) == Finding(Cause.NONE, None, 0)
    assert find_cause(replace(claim({}), same_logits=True), BOUNDS).cause is Cause.NONE


def test_equal_tokens_of_other_logits_are_other_numerics() -> None:
    """Q8_0 for Q4_1 often gives equal tokens. The digest of the logits shows the difference."""
    assert find_cause(replace(claim({}), same_logits=False), BOUNDS) == Finding(Cause.NUMERICS, None, 0)


def test_small_margins_are_near_ties() -> None:
    """An answer that is no mismatch needs no other explanation. The first position and its margin are reported."""
    assert find_cause(claim({7: 120_000, 30: 200_000}), BOUNDS) == Finding(Cause.NEAR_TIE, 7, 120_000)


def test_an_answer_without_its_end_is_truncated() -> None:
    """Every token is right, but there are too few tokens and none ends the answer."""
    for finish in ("stop", "length"):
        assert find_cause(cut(claim({}, count=32), finish), BOUNDS) == Finding(Cause.TRUNCATED, 32, 0)


def test_an_end_where_none_belongs_is_truncated() -> None:
    """Only the ending token is wrong."""
    short = cut(claim({31: 9_000_000}, count=32), "stop")
    ended = replace(short, scores=replace(short.scores, ends=(False,) * 31 + (True,)))
    assert find_cause(ended, BOUNDS) == Finding(Cause.TRUNCATED, 31, 9_000_000)


@pytest.mark.parametrize("cause", [Cause.TEMPERATURE, Cause.PROMPT])
def test_a_supposition_that_explains_everything_wins(cause: Cause) -> None:
    """The best supposition under which the answer would be no mismatch wins, and its value is reported."""
    off = claim(every(8, 600_000))
    poor, good, better = (
        Supposition(Cause.TEMPERATURE, 900, off.scores.deficits),
        Supposition(Cause.TEMPERATURE, 700, (90_000,) * COUNT),
        Supposition(cause, 1_000, (10_000,) * COUNT),
    )
    assert find_cause(replace(off, suppositions=(poor, good, better)), BOUNDS) == Finding(cause, 0, 600_000, 1_000)
    assert find_cause(replace(off, suppositions=(poor,)), BOUNDS).cause is Cause.QUANTISATION


def test_agreement_by_chance_is_a_wrong_seed() -> None:
    """Half of the tokens have a probability of one half and half of them agree, so the noise was another."""
    assert find_cause(claim(every(2, 1_500_000)), BOUNDS).cause is Cause.SEED
    assert find_cause(claim(every(2, 1_500_000), temperature_milli=0), BOUNDS).cause is Cause.MODEL


def test_unlikely_tokens_under_other_noise_are_no_wrong_seed() -> None:
    """A model finds its own samples likely. If only the beginning is unlikely, the prompt was another."""
    strange = claim(every(1, 5_000_000), surprisal=4_000_000)
    assert find_cause(strange, BOUNDS).cause is Cause.MODEL
    off = claim(every(2, 1_500_000))
    surprisals = (3_000_000,) * 8 + (HALF,) * 56
    scores = replace(off.scores, surprisals=surprisals, best=tuple(range(1_000, 1_064)))
    assert find_cause(replace(off, scores=scores), BOUNDS).cause is Cause.PROMPT


def test_size_and_number_of_margins_tell_models_quantisations_and_prompts() -> None:
    """Large margins everywhere: another model. Many small margins: a quantisation. Few large margins: a hidden
    prompt."""
    assert find_cause(claim(every(3, 1_800_000), surprisal=2 * HALF), BOUNDS).cause is Cause.MODEL
    assert find_cause(claim(every(7, 700_000)), BOUNDS).cause is Cause.QUANTISATION
    assert find_cause(claim({20: 2_100_000, 41: 1_500_000}), BOUNDS).cause is Cause.PROMPT


def test_an_answer_to_something_else_is_off_at_its_beginning() -> None:
    """After its beginning it is consistent with itself, or a single token is less likely than any coarser quantisation
    makes it."""
    beginning = dict.fromkeys(range(0, 8, 2), 3_500_000)
    assert find_cause(claim(beginning), BOUNDS).cause is Cause.PROMPT
    assert find_cause(claim({**every(7, 700_000), 30: 9_000_000}), BOUNDS).cause is Cause.PROMPT


def test_a_few_tokens_tell_nothing() -> None:
    """A dozen tokens are too few to find a cause."""
    assert find_cause(claim({0: 3_000_000}, count=12), BOUNDS).cause is Cause.UNKNOWN


def test_certain_tokens_tell_no_seed() -> None:
    """If nearly every token is certain, neither agreement nor its lack says anything about the seed."""
    assert find_cause(claim(every(2, 1_500_000), surprisal=CERTAIN), BOUNDS).cause is not Cause.SEED


numbers = st.integers(0, 40_000_000)


@st.composite
def claims(draw: st.DrawFn) -> ClaimedAnswer:
    count = draw(st.integers(1, 24))
    tokens, best = (draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)) for _ in range(2))
    deficits = [0 if a == b else draw(numbers) for a, b in zip(tokens, best, strict=True)]
    supposed = draw(st.lists(st.lists(numbers, min_size=count, max_size=count), max_size=3))
    return ClaimedAnswer(
        Ask((), draw(st.integers(1, 24)), draw(st.sampled_from((0, 800))), NO_KEY),
        Output(tuple(tokens), draw(st.sampled_from(("stop", "length")))),
        TokenScores(
            tuple(deficits),
            tuple(draw(st.lists(numbers, min_size=count, max_size=count))),
            tuple(best),
            tuple(draw(st.lists(st.booleans(), min_size=count, max_size=count))),
            NO_LOGITS,
        ),
        tuple(Supposition(Cause.TEMPERATURE, 1_000, tuple(one)) for one in supposed),
        draw(st.sampled_from((None, True, False))),
    )


@given(claims())
@settings(deadline=None, max_examples=100)
def test_every_answer_has_one_cause(asked: ClaimedAnswer) -> None:
    """Every engine output gets one cause, and an answer that is no mismatch is never called a lie."""
    found = find_cause(asked, BOUNDS)
    assert found == find_cause(asked, BOUNDS)
    scores, tokens = asked.scores, asked.output.tokens
    outcome = verdict(measure(scores.deficits, scores.ends, asked.output.finish, asked.ask.tokens_max), BOUNDS)
    if outcome is not Verdict.MISMATCH:
        assert found.cause in {Cause.NONE, Cause.NEAR_TIE, Cause.NUMERICS}
    else:
        assert found.cause not in {Cause.NONE, Cause.NEAR_TIE, Cause.NUMERICS}
    first = next((at for at, (a, b) in enumerate(zip(tokens, scores.best, strict=True)) if a != b), None)
    assert found.position == first or (first is None and found.cause is Cause.TRUNCATED)
    assert found.margin == (0 if first is None else scores.deficits[first])
