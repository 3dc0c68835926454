"""A judge's scores of answers, as input for `core.inference.diagnosis`."""

from collections.abc import Iterable
from dataclasses import replace

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.diagnosis import Cause, ClaimedAnswer, Supposition
from p2pverify.node.ports import Engine


def claim_of(
    judge: Engine, question: Ask, answer: Output, temperatures: Iterable[int] = (), *, in_class: bool = False
) -> ClaimedAnswer:
    """An answer scored by a judge, and scored again at each of the temperatures. `in_class` also compares logits."""
    scored = judge.score(question, answer.tokens)
    others = ((milli, judge.score(replace(question, temperature_milli=milli), answer.tokens)) for milli in temperatures)
    return ClaimedAnswer(
        question,
        answer,
        scored,
        tuple(Supposition(Cause.TEMPERATURE, milli, other.deficits) for milli, other in others),
        scored.logits == answer.logits if in_class else None,
    )
