"""Computes an evidence file again: the questions from the seed, and every measure."""

from collections.abc import Callable

from p2pverify.core.inference.endpoint import EndpointEvidence
from p2pverify.engine.endpoint.judge import EndpointJudge, EndpointReferee


def find_difference(
    evidence: EndpointEvidence, referee: EndpointReferee, progress: Callable[[str, int, int], None]
) -> str | None:
    """What this machine computes otherwise than the file says; None if it computes the same. Blocks for seconds."""
    plan = evidence.plan
    try:
        judge = EndpointJudge(referee, plan)
        for number, answer in enumerate(evidence.answers):
            progress("measuring answers again", number, len(evidence.answers))
            if plan.corpus is None and judge.question(number) != (answer.turn, answer.prompt):
                return f"question {number + 1} does not follow from the seed"
            if judge.prompt(answer.turn) != answer.prompt:
                return f"the prompt of question {number + 1} is not that of the template"
            if answer.measure is None:
                continue
            found = judge.measure(answer.prompt, answer.tokens, answer.finish)
            if found != answer.measure:
                says, computed = answer.measure.to_value(), found.to_value()
                return f"answer {number + 1} has the measure {computed}, and the file says {says}"
    except ValueError as error:
        return f"the referee cannot take this audit: {error}"
    return None
