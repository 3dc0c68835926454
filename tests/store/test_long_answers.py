"""Answers as long as the greatest context are stored, and read back."""

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import TOKEN_MAX
from p2pverify.core.events import StoredAnswer
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX
from p2pverify.node.journal import decode_output, encode_output
from p2pverify.store.writes import DATA_BYTES_MAX


def test_the_longest_answer_is_stored() -> None:
    """It fits a value of the database, and is the same afterwards."""
    answer = StoredAnswer(bytes(32), bytes(32), Output((TOKEN_MAX,) * CONTEXT_TOKENS_MAX, "length", bytes(32)))
    data = encode_output(answer)
    assert len(data) <= DATA_BYTES_MAX
    assert decode_output(bytes(32), bytes(32), data) == answer
