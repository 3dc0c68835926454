"""Runs a calibration: paths answer, a judge scores. The result is a threshold per path and a bound of false alarms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.inference.compare import Measure
from p2pverify.engine.calibrate.fit import (
    HONEST_PPM_MIN,
    SAMPLES_MIN,
    Exceeding,
    exceeding,
    fit,
    make_pool,
    upper_bound_ppm,
)
from p2pverify.engine.calibrate.producers import Make, Producer
from p2pverify.engine.calibrate.questions import CALIBRATION, Posed, QuestionShape, pose
from p2pverify.node.ports import Engine, ModelInfo

Path = tuple[str, str]
"""Engine and numeric path."""
UNKNOWN: Path = (ANY, ANY)

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the amount done, and the total."""


@dataclass(frozen=True, slots=True)
class Found:
    """A calibration and its measures. `alarms` counts false alarms on answers that no threshold was fitted to."""

    calibration: Calibration
    measures: tuple[Measure, ...]
    alarms: int

    @property
    def mean_square(self) -> int:
        """Mean square of a token's margin, in 1e-6 square nats."""
        return sum(one.total for one in self.measures) // sum(one.count for one in self.measures)


def calibrate(
    judge: Engine,
    paths: Mapping[str, Make],
    *,
    count: int,
    seed: int,
    shape: QuestionShape | None = None,
    progress: Progress | None = None,
) -> tuple[Found, ...]:
    """Put `count` questions to each path, and fit thresholds to the judge's measures: see `summarise`.

    Two names of one path count as one path. Raises EngineUnavailable if a path cannot run, ValueError if a path runs
    another model than the judge or if `count` is too small.
    """
    tell = progress or (lambda _stage, _done, _whole: None)
    shape = shape or QuestionShape()
    questions: list[Posed] = []
    for number in range(count):
        tell("writing prompts", number, count)
        questions.append(pose(judge, CALIBRATION, seed, number, shape))
    measured: dict[Path, list[Measure]] = {}
    for name, make in paths.items():
        with Producer(make) as producer:
            check_model(judge.info, producer.info)
            key = (producer.info.engine, producer.info.numeric_path)
            if key in measured:
                continue
            found = measured.setdefault(key, [])
            # The judge's own path gives equal bits or it does not, so a small sample is enough.
            asked = questions[:SAMPLES_MIN] if key == (judge.info.engine, judge.info.numeric_path) else questions
            for question, answer in zip(asked, producer.answers(asked), strict=True):
                tell(f"judging {name}", len(found), len(asked))
                found.append(question.measured_by(judge, answer))
    return summarise(judge.info, measured, shape.answer_tokens)


def summarise(judge: ModelInfo, measured: Mapping[Path, Sequence[Measure]], tokens: int) -> tuple[Found, ...]:
    """Calibrations of every path (engine and numeric path) and of unknown paths ("*"), sorted by pair.

    All paths except the judge's own get the same thresholds, fitted to all their answers. The reason is that these
    paths differ by rounding only, and the tail of a single path has few samples. The number of samples and the bound
    of false alarms are computed for each path.
    """
    own = (judge.engine, judge.numeric_path)
    unlike = {path: measures for path, measures in measured.items() if path != own}
    found = list(_unlike(own, unlike, tokens)) if unlike else []
    if own in measured:
        found.append(_own(own, measured[own], tokens))
    return tuple(sorted(found, key=lambda one: one.calibration.pair))


def _own(judge: Path, measures: Sequence[Measure], tokens: int) -> Found:
    """The calibration of the judge's own path. Its bits must be equal, so every margin is refused.

    Raises ValueError if an answer has a margin.
    """
    if any(one.total or one.end for one in measures):
        raise ValueError(f"answers of the judge's own path, {judge[1]}, are not those that the judge expects")
    across = Across(0, 0, 0, 0, 0, HONEST_PPM_MIN)
    alarm_ppm = upper_bound_ppm(0, len(measures))
    return Found(Calibration(*judge, *judge, len(measures), tokens, across, alarm_ppm), tuple(measures), 0)


def _unlike(judge: Path, measured: Mapping[Path, Sequence[Measure]], tokens: int) -> Iterator[Found]:
    """Calibrations of the other paths. Answers of one half are judged with thresholds from the other half."""
    halves = [[one for measures in measured.values() for one in measures[start::2]] for start in (0, 1)]
    pooled = [*halves[0], *halves[1]]
    others = (fit(halves[1]), fit(halves[0]))
    seen = {path: exceeding(m[0::2], others[0]) + exceeding(m[1::2], others[1]) for path, m in measured.items()}
    in_all = sum(seen.values(), Exceeding(0, 0, 0))
    across = fit(pooled)
    across = replace(
        across,
        honest_ppm=max(HONEST_PPM_MIN, upper_bound_ppm(in_all.mismatches, in_all.samples)),
        pool=make_pool(across, in_all),
    )
    for path, measures, found in (*((p, m, seen[p]) for p, m in measured.items()), (UNKNOWN, pooled, in_all)):
        alarm_ppm = upper_bound_ppm(found.mismatches, found.samples)
        yield Found(
            Calibration(*judge, *path, len(measures), tokens, across, alarm_ppm), tuple(measures), found.mismatches
        )


def check_model(judge: ModelInfo, path: ModelInfo) -> None:
    """Raises ValueError if a path runs another model than the judge."""
    if (judge.weights_sha256, judge.template_sha256) != (path.weights_sha256, path.template_sha256):
        raise ValueError(f"the judge runs {judge.model}, and the path {path.model}")
