"""Hypothesis strategies for complete manifests."""

from hypothesis import strategies as st

from p2pverify.core.contract.classes import ACROSS_BOUNDS, Across
from p2pverify.core.contract.golden import GOLDEN_ANSWER_TOKENS_MAX, Golden, GoldenAnswer, GoldenPath
from p2pverify.core.contract.manifest import MILLION, SAMPLES_MAX, Calibration, Canary, CanaryAnswer, Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.contract.pool import LINE_MAX, LINES_MAX, Line, Pool
from p2pverify.core.contract.shapes import TEMPERATURE_MILLI_MAX
from p2pverify.core.encoding.canon import TOKEN_MAX

text = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=12)
digests = st.binary(min_size=32, max_size=32)
counts = st.integers(0, SAMPLES_MAX)
_MAX = dict(ACROSS_BOUNDS)


_lines = st.builds(Line, st.integers(0, LINE_MAX), st.integers(0, LINE_MAX), st.integers(1, MILLION))
pools = st.builds(
    Pool, st.integers(1, MILLION - 1), st.sets(_lines, min_size=1, max_size=LINES_MAX).map(lambda x: tuple(sorted(x)))
)


@st.composite
def across(draw: st.DrawFn, honest_max: int = _MAX["honest_ppm"]) -> Across:
    """Thresholds by which no answer is both a match and a mismatch, up to the greatest that a network may have."""
    base = sorted(draw(st.integers(0, _MAX["mismatch_base"])) for _ in range(2))
    slope = sorted(draw(st.integers(0, _MAX["mismatch_slope"])) for _ in range(2))
    end, honest = draw(st.integers(0, _MAX["end_max"])), draw(st.integers(1, honest_max))
    return Across(base[0], slope[0], base[1], slope[1], end, honest, draw(st.none() | pools))


questions = st.builds(
    Ask,
    st.lists(st.integers(0, TOKEN_MAX), min_size=1, max_size=5).map(tuple),
    st.integers(1, GOLDEN_ANSWER_TOKENS_MAX),
    st.integers(0, TEMPERATURE_MILLI_MAX),
    digests,
)


@st.composite
def goldens(draw: st.DrawFn) -> Golden:
    asked = tuple(draw(st.lists(questions, max_size=3)))
    names = sorted(draw(st.sets(st.tuples(text, text), max_size=3 if asked else 0)))
    answers = st.builds(GoldenAnswer, digests, digests)
    return Golden(asked, tuple(GoldenPath(*name, tuple(draw(answers) for _ in asked)) for name in names))


@st.composite
def calibrations(draw: st.DrawFn) -> tuple[Calibration, ...]:
    pairs = sorted(draw(st.sets(st.tuples(text, text, text, text), max_size=3)))
    return tuple(
        Calibration(*pair, draw(counts), draw(counts), draw(across()), draw(st.integers(0, MILLION))) for pair in pairs
    )


@st.composite
def canaries(draw: st.DrawFn) -> tuple[Canary, ...]:
    found = []
    for prompt in sorted(draw(st.sets(digests, max_size=3))):
        names = sorted(draw(st.sets(st.tuples(text, text), max_size=3)))
        answers = tuple(CanaryAnswer(*name, draw(digests)) for name in names)
        found.append(Canary(prompt, draw(st.integers(0, GOLDEN_ANSWER_TOKENS_MAX)), answers))
    return tuple(found)


manifests = st.builds(
    Manifest,
    text,
    digests,
    digests,
    digests,
    text,
    text,
    text,
    st.none() | digests,
    goldens(),
    calibrations(),
    canaries(),
)
