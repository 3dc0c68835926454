"""Jobs for the network's referee: it writes a slot's prompt, and scores the answers to it.

The referee gives the same bits on every CPU, so every honest peer gets equal prompts and equal measures. `compare` says
what a measure means; `challenger` and `voter` say which answers are scored.
"""

from collections.abc import Callable, Sequence

from p2pverify.core.contract import sortition
from p2pverify.core.contract.output import NO_KEY, Ask, Output
from p2pverify.core.encoding.canon import digest
from p2pverify.core.events import REFEREE, ComputeFailed, MeasureDone
from p2pverify.core.inference.compare import Measure, Measures, malformed, measure
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question
from p2pverify.core.roles.context import Context, JobDone
from p2pverify.core.roles.slot_plan import derive

NO_ANSWER = Ask((), 0, 0, NO_KEY)
Measured = Callable[[Measures | ComputeFailed, bytes, int], None]
"""Takes the measures or the failure, a digest that only peers that scored the answers know, and the time in ms."""


def write_prompt(context: Context, slot: sortition.Slot, done: JobDone, *, purpose: Purpose, deadline_ms: int) -> None:
    """Have the referee write the prompt of a slot across classes."""
    derive(context, slot, NO_ANSWER, done, purpose=purpose, deadline_ms=deadline_ms, role=REFEREE)


def measure_all(
    context: Context,
    question: Question,
    outputs: Sequence[Output | None],
    now_ms: int,
    done: Measured,
    *,
    purpose: Purpose,
    deadline_ms: int,
) -> None:
    """Measure answers to a question; None stays None. `done` is called once, at once if nothing is to be scored."""
    found: list[Measure | None] = [None] * len(outputs)
    deficits: list[list[int]] = [[] for _ in outputs]
    waiting: set[int] = set()

    def finish(at_ms: int) -> None:
        done(tuple(found), digest([question.id, *deficits]), at_ms)

    def score(which: int, output: Output) -> None:
        def scored(event: MeasureDone | ComputeFailed, later_ms: int) -> None:
            if which not in waiting:
                return
            if isinstance(event, ComputeFailed):
                waiting.clear()
                done(event, b"", later_ms)
                return
            waiting.discard(which)
            found[which] = _measure(event, output, question)
            deficits[which] = list(event.deficits)
            if not waiting:
                finish(later_ms)

        context.score(scored, question.ask, output.tokens, purpose=purpose, deadline_ms=deadline_ms)

    for which, output in enumerate(outputs):
        if output is None:
            continue
        if 0 < len(output.tokens) <= question.tokens_max:
            waiting.add(which)
        else:
            found[which] = malformed(len(output.tokens))
    for which in sorted(waiting):
        claimed = outputs[which]
        assert claimed is not None
        score(which, claimed)
    if not waiting:
        finish(now_ms)


def _measure(event: MeasureDone, output: Output, question: Question) -> Measure:
    if len(event.deficits) != len(output.tokens):
        return malformed(len(output.tokens))  # a token is not in the vocabulary
    return measure(event.deficits, event.ends, output.finish, question.tokens_max)
