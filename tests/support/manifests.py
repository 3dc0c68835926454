"""Manifests with everything in them, for hypothesis."""

from hypothesis import strategies as st

from p2pverify.core.golden import Golden, GoldenAnswer, GoldenPath, GoldenQuestion
from p2pverify.core.manifest import Calibration, Canary, CanaryAnswer, Manifest
from p2pverify.core.network import Across

text = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=12)
digests = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 2**32 - 1)


@st.composite
def across(draw: st.DrawFn) -> Across:
    base, slope = sorted((draw(counts), draw(counts))), sorted((draw(counts), draw(counts)))
    return Across(base[0], slope[0], base[1], slope[1], draw(st.integers(0, 2**32 - 2)), draw(st.integers(1, 999_998)))


questions = st.builds(
    GoldenQuestion,
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5).map(tuple),
    st.integers(1, 256),
    st.integers(0, 2000),
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
        Calibration(*pair, draw(counts), draw(counts), draw(across()), draw(st.integers(0, 1_000_000)))
        for pair in pairs
    )


@st.composite
def canaries(draw: st.DrawFn) -> tuple[Canary, ...]:
    found = []
    for prompt in sorted(draw(st.sets(digests, max_size=3))):
        names = sorted(draw(st.sets(st.tuples(text, text), max_size=3)))
        answers = tuple(CanaryAnswer(*name, draw(digests)) for name in names)
        found.append(Canary(prompt, draw(st.integers(0, 256)), answers))
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
