"""A referee's measure of an answer that a peer of another class has given."""

from p2pverify.core.contract.output import Output
from p2pverify.core.inference.compare import Measure, malformed, measure_claim
from p2pverify.core.inference.question import Question
from p2pverify.node.ports import Engine


def measure_answer(referee: Engine, question: Question, output: Output) -> Measure:
    """Measure an answer. Blocks. Raises ValueError if the engine cannot take the question."""
    count = len(output.tokens)
    is_known = all(0 <= token < referee.info.vocab_tokens for token in output.tokens)
    if not 0 < count <= question.tokens_max or not is_known:
        return malformed(count)
    scored = referee.score(question.ask, output.tokens)
    return measure_claim(scored.deficits, scored.ends, count, output.finish, question.tokens_max)
