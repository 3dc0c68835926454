"""Why the answers of a server do not match, for people. No verdict rests on it.

Suppositions are tried on the answers that were mismatches: that the server samples, that another system message stands
before the prompt, that its weights are another quantisation of the model. A supposition with which every one of these
answers fits is the cause. Otherwise it is the most frequent cause that `core.inference.diagnosis` finds.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Output
from p2pverify.core.inference.compare import TokenScores, Verdict, total_of, verdict
from p2pverify.core.inference.diagnosis import Cause, ClaimedAnswer, find_cause
from p2pverify.core.inference.endpoint import Api, AuditPlan, EndpointAnswer
from p2pverify.engine.endpoint.judge import EndpointJudge, EndpointReferee
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.gguf.quantise import FORMATS, requantise

#: The first mismatches that are looked at.
LOOKED_AT_MAX = 4
#: Of these so many are asked again. One of them alone may begin differently by a near-tie.
ASKED_AGAIN = 2
USUAL_SYSTEM = "You are a helpful assistant."

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class EndpointCause:
    """A cause, and the finding that it rests on."""

    cause: str
    finding: str


def find_endpoint_cause(
    plan: AuditPlan,
    answers: Sequence[EndpointAnswer],
    bounds: Across,
    referee: EndpointReferee,
    is_repeated: Callable[[EndpointAnswer], bool | None],
    progress: Progress,
) -> EndpointCause | None:
    """The likeliest cause; None if no answer is a mismatch. `is_repeated` asks the server a question again."""
    far = [one for one in answers if one.measure and verdict(one.measure, bounds) is Verdict.MISMATCH][:LOOKED_AT_MAX]
    if not far:
        return None
    progress("asking questions again", 0, 1)
    if all(is_repeated(one) is False for one in far[:ASKED_AGAIN]):
        return EndpointCause("other sampling", "answers to the same questions at temperature 0 begin differently")
    judge = EndpointJudge(referee, plan)
    scored = [judge.score(one.prompt, one.tokens) for one in far]
    return (
        _other_prompt(plan, far, judge, bounds)
        or _other_weights(plan, far, referee, bounds, progress)
        or _usual(plan, far, scored, bounds)
    )


def _other_prompt(
    plan: AuditPlan, far: Sequence[EndpointAnswer], judge: EndpointJudge, bounds: Across
) -> EndpointCause | None:
    for system in {"": (USUAL_SYSTEM,)}.get(plan.system, ("",)):
        if _all_fit([judge.score(judge.suppose(system, one.turn), one.tokens) for one in far], bounds):
            what = f"the system message {system!r}" if system else "no system message but the template's own"
            return EndpointCause("other prompt", f"the answers fit a prompt with {what}")
    counts = {(one.counted, len(one.prompt)) for one in far if one.counted is not None}
    if plan.api is Api.CHAT and counts and all(theirs != ours for theirs, ours in counts):
        theirs, ours = min(counts)
        return EndpointCause(
            "other prompt", f"the server reads {theirs} tokens where the template makes {ours}: another template, or a "
            "hidden system message"
        )  # fmt: skip
    return None


def _other_weights(
    plan: AuditPlan,
    far: Sequence[EndpointAnswer],
    referee: EndpointReferee,
    bounds: Across,
    progress: Progress,
) -> EndpointCause | None:
    """The quantisation with which all answers fit best, if there is one."""
    fitting: list[tuple[int, str]] = []
    for name, engine in _quantisations(referee, progress):
        found = [EndpointJudge(engine, plan).score(one.prompt, one.tokens) for one in far]
        if _all_fit(found, bounds):
            fitting.append((sum(total_of(one.deficits) for one in found if one), name))
    if not fitting:
        return None
    return EndpointCause(str(Cause.QUANTISATION), f"the answers fit the weights quantised again as {min(fitting)[1]}")


def _quantisations(referee: EndpointReferee, progress: Progress) -> Iterator[tuple[str, EndpointReferee]]:
    """The exact engine on the same weights in other quantisations, one at a time."""
    if not isinstance(referee, ExactEngine):
        return
    for number, name in enumerate(FORMATS):
        progress("trying other quantisations", number, len(FORMATS))
        with tempfile.TemporaryDirectory(prefix="p2pverify-") as folder:
            target = Path(folder) / f"{name}.gguf"
            try:
                requantise(referee.path, target, name)
                engine = ExactEngine(target, cache=Path(folder))
            except EngineUnavailable:
                continue
            try:
                yield name, engine
            finally:
                engine.close()


def _usual(
    plan: AuditPlan, far: Sequence[EndpointAnswer], scored: Sequence[TokenScores | None], bounds: Across
) -> EndpointCause:
    found: Counter[str] = Counter()
    for answer, scores in zip(far, scored, strict=True):
        if scores is None:
            found[str(Cause.MODEL)] += 1
            continue
        output = Output(answer.tokens, answer.finish)
        found[str(find_cause(ClaimedAnswer(plan.ask(answer.prompt), output, scores), bounds).cause)] += 1
    cause, count = min(found.items(), key=lambda item: (-item[1], item[0]))
    return EndpointCause(cause, f"the margins of {count} of {len(far)} answers look like it")


def _all_fit(found: Sequence[TokenScores | None], bounds: Across) -> bool:
    return all(one is not None and total_of(one.deficits) <= bounds.mismatch_total(len(one.deficits)) for one in found)
