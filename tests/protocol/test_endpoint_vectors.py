"""The vectors of endpoint evidence hold, the grammar describes them, and the page names the limits of the code."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference import endpoint
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "endpoint.md").read_text(encoding="utf-8")


def _cases(name: str) -> list[Any]:
    found: list[Any] = json.loads((PROTOCOL / "vectors/endpoint-evidence" / name).read_text(encoding="utf-8"))
    return found


VALID, INVALID = _cases("valid.json"), _cases("invalid.json")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in [*VALID, *INVALID]])
def test_evidence(case: dict[str, Any]) -> None:
    """It has the conclusion in the vector, or is refused for the reason in the vector."""
    data = bytes.fromhex(case["input"]["evidence"])
    found, reason = None, None
    try:
        evidence = endpoint.decode_endpoint_evidence(data)
        assert evidence.encode() == data
        found = evidence.conclusion.to_value()
    except DecodeError as error:
        reason = error.reason
    assert (found, reason) == (case["expect"], case["reason"])


def test_every_verdict_has_a_vector() -> None:
    """With and without a bound."""
    assert {(case["expect"][0], case["expect"][4] is None) for case in VALID} == {
        ("match", False), ("match", True), ("inconclusive", False), ("inconclusive", True), ("mismatch", True),
    }  # fmt: skip


def test_the_grammar_describes_them() -> None:
    """Valid files conform. With one item replaced they do not."""
    for case in VALID:
        assert conforms("endpoint-evidence", bytes.fromhex(case["input"]["evidence"])), case["comment"]
    for items in (decode(bytes.fromhex(VALID[1]["input"]["evidence"]), size_max=65_536),):
        assert isinstance(items, list)
        for at in range(len(items)):
            assert not conforms("endpoint-evidence", encode([*items[:at], {}, *items[at + 1 :]])), at


def test_the_page_names_the_limits() -> None:
    """Bytes, questions, tokens, and the capital at which a server is accused."""
    for text in (
        f"at most {endpoint.ENDPOINT_EVIDENCE_BYTES_MAX:,} bytes",
        f"[ 1*{endpoint.AUDIT_REQUESTS_MAX} endpoint-answer ]",
        f"[ 1*{endpoint.AUDIT_PROMPT_TOKENS_MAX} token ]",
        f"[ *{endpoint.AUDIT_ANSWER_TOKENS_MAX + 1} token ]",
        f"turn-tokens: 1..{endpoint.TURN_TOKENS_MAX}",
        f"reply: text .size (0..{endpoint.REPLY_BYTES_MAX})",
        f"turn: text .size (0..{endpoint.TURN_BYTES_MAX})",
        f"at least {endpoint.accused_at()}",
    ):
        assert text in PAGE, text
