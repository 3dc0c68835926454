"""Calibration: honest answers pass the thresholds, a lie does not, and bounds are no better than the data."""

import os
import select
import subprocess
import sys
from dataclasses import replace
from functools import partial
from math import comb, log
from pathlib import Path

import pytest

from p2pverify.core.contract.classes import ANY
from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.inference.compare import END_MISSING, Measure, Verdict, verdict
from p2pverify.engine.calibrate import (
    CALIBRATION,
    HELD_OUT,
    SAMPLES_MIN,
    Found,
    QuestionShape,
    calibrate,
    fit,
    lower_bound_ppm,
    pose,
    summarise,
    upper_bound_ppm,
)
from p2pverify.engine.calibrate.producers import Producer, open_path
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.toy import PATH, REFEREE, REFEREE_PATH, ToyEngine

SHAPE = QuestionShape(prompt_tokens=8, answer_tokens=40)
COUNT = 60
JUDGE = ToyEngine(path=REFEREE_PATH, engine=REFEREE)


def measured(total: int, count: int = 64, peak: int | None = None) -> Measure:
    return Measure(count, total, total if peak is None else peak, 0)


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    """Calibrations of two paths of the toy engine and of the judge's own path, by numeric path."""
    paths = {
        "odd": partial(ToyEngine, path="odd"),
        "even": partial(ToyEngine, path="even"),
        "own": partial(ToyEngine, path=REFEREE_PATH, engine=REFEREE),
        "odd again": partial(ToyEngine, path="odd"),
    }
    stages: list[tuple[str, int, int]] = []

    def tell(stage: str, done: int, whole: int) -> None:
        stages.append((stage, done, whole))

    made = calibrate(JUDGE, paths, count=COUNT, seed=3, shape=SHAPE, progress=tell)
    assert {stage for stage, _, _ in stages} >= {"writing prompts", "judging odd", "judging even", "judging own"}
    assert all(0 <= done <= whole for _, done, whole in stages)
    return {one.calibration.numeric_path: one for one in made}


def test_every_path_is_calibrated_once(found: dict[str, Found]) -> None:
    """A path with two names counts once. An unknown path gets the thresholds of all paths except the judge's."""
    assert set(found) == {ANY, "even", REFEREE_PATH, "odd"}
    samples = {path: one.calibration.samples for path, one in found.items()}
    assert samples == {ANY: 2 * COUNT, "even": COUNT, REFEREE_PATH: SAMPLES_MIN, "odd": COUNT}
    assert found["odd"].calibration.across == found["even"].calibration.across == found[ANY].calibration.across
    assert found[ANY].calibration.pair == (REFEREE, REFEREE_PATH, ANY, ANY)


def test_own_path_has_no_margin_at_all(found: dict[str, Found]) -> None:
    """All thresholds of the path with equal bits are 0, so any margin is a mismatch."""
    across = found[REFEREE_PATH].calibration.across
    assert (across.match_base, across.match_slope, across.mismatch_base, across.mismatch_slope) == (0, 0, 0, 0)
    assert across.end_max == 0
    assert verdict(measured(1), across) is Verdict.MISMATCH


def test_a_judge_whose_own_path_errs_is_no_judge() -> None:
    """Any margin on the judge's own path shows that its bits are not reproducible."""
    with pytest.raises(ValueError, match="are not those that the judge expects"):
        summarise(JUDGE.info, {(REFEREE, REFEREE_PATH): [measured(0)] * 30 + [measured(1)]}, 64)


def test_thresholds_part_the_honest_from_another_model(found: dict[str, Found]) -> None:
    """On held-out questions, honest answers of both paths match, and another model's answers do not."""
    across = found[ANY].calibration.across
    for engine, wanted in (
        (ToyEngine(path="odd"), {Verdict.MATCH}),
        (ToyEngine(path="even"), {Verdict.MATCH}),
        (ToyEngine("pruned", path="odd"), {Verdict.MISMATCH}),
    ):
        verdicts = set()
        for number in range(20):
            question = pose(JUDGE, HELD_OUT, 3, number, SHAPE)
            verdicts.add(verdict(question.measured_by(JUDGE, engine.answer(question).output), across))
        assert verdicts == wanted


def test_bounds_are_those_of_the_sample(found: dict[str, Found]) -> None:
    """A path's bound of false alarms comes from its own answers, and the allowed rate from all answers."""
    for path in ("odd", "even", ANY):
        calibration = found[path].calibration
        assert calibration.alarm_ppm == upper_bound_ppm(found[path].alarms, calibration.samples)
    assert found[ANY].alarms == found["odd"].alarms + found["even"].alarms <= 1
    assert found[ANY].calibration.across.honest_ppm == found[ANY].calibration.alarm_ppm > 10_000


def test_questions_repeat_and_purposes_never_meet() -> None:
    """Equal seeds give equal questions. Another purpose, seed or number gives another prompt and key."""
    same = [pose(JUDGE, CALIBRATION, 3, 5, SHAPE) for _ in range(2)]
    assert same[0] == same[1]
    others = [
        pose(JUDGE, HELD_OUT, 3, 5, SHAPE),
        pose(JUDGE, CALIBRATION, 4, 5, SHAPE),
        pose(JUDGE, CALIBRATION, 3, 6, SHAPE),
    ]
    assert len({question.sampler_key for question in (same[0], *others)}) == 4
    assert len({question.prompt for question in (same[0], *others)}) == 4
    greedy = sum(pose(JUDGE, CALIBRATION, 0, number, SHAPE).temperature_milli == 0 for number in range(200))
    assert 20 <= greedy <= 60


def test_another_model_cannot_be_calibrated() -> None:
    """The judge only judges paths of its own model."""
    with pytest.raises(ValueError, match=r"the judge runs toy, and the path toy \(pruned\)"):
        calibrate(JUDGE, {"lie": partial(ToyEngine, "pruned")}, count=40, seed=0, shape=SHAPE)


def _unavailable() -> ToyEngine:
    raise EngineUnavailable("not on this machine")


def test_a_path_that_does_not_open_says_why() -> None:
    """The reason comes from the other process."""
    with pytest.raises(EngineUnavailable, match="not on this machine"):
        calibrate(JUDGE, {"absent": _unavailable}, count=40, seed=0, shape=SHAPE)


def test_another_process_gives_the_same_answers(llama: LlamaEngine) -> None:
    """A path's producer is an equal engine: tokens and logits have equal bits, in the order of the questions."""
    shape = QuestionShape(prompt_tokens=6, answer_tokens=6)
    questions = [pose(llama, CALIBRATION, 0, number, shape) for number in range(3)]
    with Producer(partial(open_path, "wheel")) as producer:
        assert producer.info == llama.info
        answers = list(producer.answers(questions))
    own = [llama.answer(question).output for question in questions]
    assert answers == own
    assert [question.measured_by(llama, a).total for question, a in zip(questions, answers, strict=True)] == [0, 0, 0]


JUDGE_THAT_HANGS = """
import os
from tests.engine.calibrate.test_calibrate import Producer, process_id
if __name__ == "__main__":
    with Producer(process_id) as producer:
        print(producer.info.model, flush=True)
        os.read(0, 1)
"""


def process_id() -> ToyEngine:
    """An engine whose name has its process id."""
    engine = ToyEngine()
    engine._info = replace(engine.info, model=str(os.getpid()))
    return engine


def test_a_killed_judge_takes_its_producers_along(tmp_path: Path) -> None:
    """Producers end with a killed judge, because no other process would use them."""
    script = tmp_path / "judge.py"
    script.write_text(JUDGE_THAT_HANGS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as judge:
        assert judge.stdout is not None
        producer = os.pidfd_open(int(judge.stdout.readline()))
        judge.kill()
        readable, _, _ = select.select([producer], [], [], 60)
        os.close(producer)
    assert readable  # a process file descriptor is readable once the process has ended


def test_fit_is_a_line_above_the_tail() -> None:
    """Slopes are multiples of the mean square, and the base is above the far tail of the samples."""
    totals = [100_000 + 2_000 * place for place in range(100)]
    across = fit([measured(total, peak=50_000) for total in totals])
    mean = sum(totals) / (64 * len(totals))
    assert across.match_slope == pytest.approx(mean, abs=1)
    assert across.mismatch_slope == pytest.approx(2 * mean, abs=1)
    assert across.match_base + 64 * across.match_slope > max(totals)
    assert across.mismatch_base + 64 * across.mismatch_slope > 1.3 * max(totals)
    assert across.end_max == 100_000


def test_the_tail_is_an_exponential_one() -> None:
    """If totals have an exponential tail of known scale, about one in a thousand exceeds the line."""
    scale, count = 50_000, 2_000
    totals = [round(-scale * log(1 - (place + 0.5) / count)) for place in range(count)]
    across = fit([measured(total, peak=0) for total in totals])
    line = across.mismatch_base + 64 * across.mismatch_slope
    assert line == pytest.approx(scale * log(1_000), rel=0.08)  # the scale is raised by a tenth, its standard error
    assert across.match_base + 64 * across.match_slope == pytest.approx(scale * log(100), rel=0.08)


def test_one_near_tie_makes_no_mismatch() -> None:
    """Even if the other totals are small, the worst of a hundred totals is allowed."""
    answers = [measured(1_000 + place, peak=0) for place in range(99)] + [Measure(64, 80_000, 400_000, 0)]
    across = fit(answers)
    assert verdict(Measure(64, 80_000, 400_000, 400_000), across) is not Verdict.MISMATCH
    assert verdict(Measure(64, 200_000, 400_000, 0), across) is Verdict.MISMATCH
    assert verdict(Measure(64, 0, 0, END_MISSING), across) is Verdict.MISMATCH


def test_more_noise_never_lowers_a_threshold() -> None:
    """Twice the totals give twice the thresholds."""
    totals = [30_000 * (place % 7) + 1_000 * place for place in range(60)]
    once, twice = (fit([measured(factor * total, peak=0) for total in totals]) for factor in (1, 2))
    assert twice.mismatch_base == pytest.approx(2 * once.mismatch_base, abs=200)
    assert twice.match_base == pytest.approx(2 * once.match_base, abs=200)


def test_few_answers_are_refused() -> None:
    """A threshold from a few answers is not reliable."""
    with pytest.raises(ValueError, match="19 answers are too few"):
        fit([measured(1_000)] * 19)


def at_most(failures: int, samples: int, rate: float) -> float:
    return sum(comb(samples, k) * rate**k * (1 - rate) ** (samples - k) for k in range(failures + 1))


@pytest.mark.parametrize(("failures", "samples"), [(0, 100), (0, 300), (1, 260), (3, 60), (40, 60)])
def test_bounds_are_clopper_and_pearsons(failures: int, samples: int) -> None:
    """At the upper end, this number of failures or fewer has a probability of 5 %."""
    bound = upper_bound_ppm(failures, samples)
    assert at_most(failures, samples, bound / 1e6) <= 0.05 < at_most(failures, samples, (bound - 1) / 1e6)
    assert lower_bound_ppm(samples - failures, samples) == 1_000_000 - bound


def test_bounds_of_nothing_known() -> None:
    """Without samples, or with failures only, the rate can be up to 1."""
    assert upper_bound_ppm(0, 0) == upper_bound_ppm(5, 5) == 1_000_000
    assert lower_bound_ppm(0, 5) == 0


def test_a_calibration_fits_the_manifest(found: dict[str, Found]) -> None:
    """The results have the form and the order of a manifest."""
    made = [one.calibration for one in found.values()]
    assert all(isinstance(one, Calibration) for one in made)
    assert [one.pair for one in made] == sorted(one.pair for one in made)
    assert {(one.judge_engine, one.judge_path, one.tokens) for one in made} == {(REFEREE, REFEREE_PATH, 40)}
    assert PATH not in found
