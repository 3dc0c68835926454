"""Jobs for the network's referee: it writes a slot's prompt, and scores the answers to it.

The referee gives the same bits on every CPU, so every honest peer gets equal prompts and equal measures. `compare` says
what a measure means; `challenger` and `voter` say which answers are scored.
"""

from collections.abc import Callable, Sequence
from functools import partial

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import Params
from p2pverify.core.contract.output import NO_KEY, Ask, Output
from p2pverify.core.encoding.canon import digest
from p2pverify.core.events import REFEREE, ComputeFailed, Effects, MeasureDone
from p2pverify.core.inference.compare import Measure, Measures, malformed, measure_claim
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question
from p2pverify.core.roles.context import Context, JobDone
from p2pverify.core.roles.slot_plan import derive

NO_REFEREE = "this peer does not have the referee of the rules"
NO_ANSWER = Ask((), 0, 0, NO_KEY)
Measured = Callable[[Measures | ComputeFailed, bytes, int], Effects[None]]
"""Takes the measures or the failure, a digest that only peers that scored the answers know, and the time in ms."""


def write_prompt(
    context: Context,
    params: Params,
    slot: sortition.Slot,
    done: JobDone,
    *,
    model: bytes,
    purpose: Purpose,
    deadline_ms: int,
) -> Effects[None]:
    """Have the referee write the prompt of a slot across classes, with a model."""
    wanted = (context, params, slot, NO_ANSWER, done)
    return derive(*wanted, model=model, purpose=purpose, deadline_ms=deadline_ms, role=REFEREE)


def measure_all(
    context: Context,
    question: Question,
    outputs: Sequence[Output | None],
    now_ms: int,
    done: Measured,
    *,
    purpose: Purpose,
    deadline_ms: int,
) -> Effects[None]:
    """Measure answers to a question; None stays None. `done` is called once, at once if nothing is to be scored."""
    work = _Measuring(question, outputs, done)
    for which, output in sorted(work.waiting.items()):
        scored = partial(work.scored, which)
        wanted = (scored, question.ask, output.tokens)
        yield from context.score(*wanted, model=question.manifest, purpose=purpose, deadline_ms=deadline_ms)
    if not work.waiting:
        yield from work.finish(now_ms)


class _Measuring:
    """Answers that are being measured. `waiting` are those that the referee still scores, by their places."""

    def __init__(self, question: Question, outputs: Sequence[Output | None], done: Measured) -> None:
        self._question = question
        self._done = done
        self._found: list[Measure | None] = [None] * len(outputs)
        self._deficits: list[list[int]] = [[] for _ in outputs]
        self.waiting: dict[int, Output] = {}
        for which, output in enumerate(outputs):
            if output is not None and 0 < len(output.tokens) <= question.tokens_max:
                self.waiting[which] = output
            elif output is not None:
                self._found[which] = malformed(len(output.tokens))

    def scored(self, which: int, event: MeasureDone | ComputeFailed, now_ms: int) -> Effects[None]:
        """Take the scores of an answer. The first failure ends the work."""
        output = self.waiting.pop(which, None)
        if output is None:
            return
        if isinstance(event, ComputeFailed):
            self.waiting.clear()
            yield from self._done(event, b"", now_ms)
            return
        question, count = self._question, len(output.tokens)
        self._found[which] = measure_claim(event.deficits, event.ends, count, output.finish, question.tokens_max)
        self._deficits[which] = list(event.deficits)
        if not self.waiting:
            yield from self.finish(now_ms)

    def finish(self, now_ms: int) -> Effects[None]:
        return self._done(tuple(self._found), digest([self._question.id, *self._deficits]), now_ms)
