"""A judge's scores of answers, as input for `core.inference.diagnosis`."""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.inference.diagnosis import Cause, ClaimedAnswer, Supposition
from p2pverify.engine.ask import Ask
from p2pverify.node.ports import Engine, Generated


def claim_of(
    judge: Engine, question: Ask, answer: Generated, temperatures: Iterable[int] = (), *, in_class: bool = False
) -> ClaimedAnswer:
    """An answer scored by a judge, and scored again at each of the temperatures. `in_class` also compares logits."""
    scored = question.scored_by(judge, answer.tokens)
    others = (
        (milli, replace(question, temperature_milli=milli).scored_by(judge, answer.tokens)) for milli in temperatures
    )
    return ClaimedAnswer(
        answer.tokens,
        scored.best,
        scored.deficits,
        scored.surprisals,
        scored.ends,
        answer.finish,
        question.tokens_max,
        question.temperature_milli,
        tuple(Supposition(Cause.TEMPERATURE, milli, other.deficits) for milli, other in others),
        scored.logits_sha256 == answer.logits_sha256 if in_class else None,
    )
