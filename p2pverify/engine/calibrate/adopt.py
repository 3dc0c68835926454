"""Makes the manifest of a model: its golden answers on every numeric path of this machine, and the thresholds across.

A path whose bits in one pass differ from those token by token can be in no class, so it has no golden answers. Its
answers are honest all the same, and the thresholds are fitted to them too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from p2pverify.core.contract.golden import Golden, GoldenPath
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.engine.calibrate.fit import SAMPLES_MIN
from p2pverify.engine.calibrate.producers import EXACT, Make, Producer, open_path
from p2pverify.engine.calibrate.questions import QuestionShape
from p2pverify.engine.calibrate.run import Found, calibrate, check_model
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.registry import EngineOpening, open_referee
from p2pverify.node.engines.kinds import EngineKind, is_referee
from p2pverify.node.engines.selftest import golden_questions
from p2pverify.node.files.networkfile import manifest_of
from p2pverify.node.ports import ModelInfo

Tell = Callable[[str, int, int], None]

UNSTEADY = "it gives other bits in one pass than token by token, so it is in no class"


@dataclass(frozen=True, slots=True)
class Effort:
    """The number of questions to each path, their shape, and the names of paths that are left out."""

    prompts: int
    shape: QuestionShape
    without: frozenset[str] = frozenset()


#: Minutes for a model of 270 million weights. The slow builds for old processors are left out. Short answers leave time
#: for more of them: the bound of honest mismatches has to stay below the rate of cheating that a network looks for.
QUICK = Effort(
    4 * SAMPLES_MIN,
    QuestionShape(prompt_tokens=12, answer_tokens=16),
    frozenset((EXACT, "sandybridge", "sse42")),
)
THOROUGH = Effort(100, QuestionShape())


@dataclass(frozen=True, slots=True)
class Adopted:
    """A new manifest, the measures behind its calibrations, and the paths in no class, each with the reason."""

    manifest: Manifest
    found: tuple[Found, ...]
    left_out: tuple[tuple[str, str], ...]


def adopt(
    kind: EngineKind,
    weights: Path | None,
    names: Sequence[str],
    referee: str,
    *,
    effort: Effort,
    seed: int = 0,
    progress: Tell,
) -> Adopted:
    """Measure a model on the paths `names`, with a referee by its engine id. Blocks for minutes.

    Raises EngineUnavailable if the referee cannot run the model, ValueError if no thresholds can be measured.
    """
    progress("opening the referee", 0, 1)
    judge = open_referee(referee, EngineOpening(weights=weights, progress=progress))
    try:
        questions = golden_questions(judge)
        makes: dict[str, Make] = {name: partial(open_path, name, weights, kind) for name in dict.fromkeys(names)}
        paths: list[GoldenPath] = []
        left_out: list[tuple[str, str]] = []
        for number, name in enumerate(list(makes)):
            progress("answering golden questions", number, len(makes) + number)
            try:
                path = _golden_path(makes, name, judge.info, questions)
            except EngineUnavailable as error:
                left_out.append((name, str(error)))
                del makes[name]
                continue
            if all(any(answer.logits) for answer in path.answers):
                paths.append(path)
            elif is_referee(referee, path.engine, path.numeric_path):
                raise ValueError(f"{path.engine} cannot judge this model: {UNSTEADY}")
            else:
                left_out.append((name, UNSTEADY))
        found = calibrate(judge, makes, count=effort.prompts, seed=seed, shape=effort.shape, progress=progress)
        manifest = replace(
            manifest_of(judge.info),
            golden=Golden(questions).merged(paths),
            calibrations=tuple(one.calibration for one in found),
        )
        return Adopted(manifest, found, tuple(left_out))
    finally:
        judge.close()


def _golden_path(makes: Mapping[str, Make], name: str, judge: ModelInfo, questions: Sequence[Ask]) -> GoldenPath:
    with Producer(makes[name]) as producer:
        check_model(judge, producer.info)
        return GoldenPath(producer.info.engine, producer.info.numeric_path, producer.golden(questions))
