"""Evidence in vectors, grammar and page agrees."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding.canon import decode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import receipt_from_fields
from p2pverify.core.roles.disputes.evidence import (
    decode_evidence,
    decode_evidence_request,
    encode_evidence,
    encode_evidence_request,
)
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
NETWORK = bytes(32)  # the network of receipts; evidence does not depend on it


def _cases(name: str) -> list[Any]:
    paths = sorted((PROTOCOL / "vectors" / name).glob("*.json"))
    return [case for path in paths for case in json.loads(path.read_text(encoding="utf-8"))]


def _params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["comment"]) for case in _cases(name)]


@pytest.mark.parametrize("case", _params("evidence-request"))
def test_requests(case: dict[str, Any]) -> None:
    """A request is decoded and encoded to the same bytes, or refused for the vector's reason."""
    data = bytes.fromhex(case["input"]["request"])
    try:
        assert encode_evidence_request(*decode_evidence_request(data)) == data
        found: tuple[str, str | None] = ("accept", None)
    except DecodeError as error:
        found = ("reset", error.reason)
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _params("evidence"))
def test_evidence(case: dict[str, Any]) -> None:
    """The response is the answer of the receipt, another answer, none, or malformed."""
    given = {name: bytes.fromhex(text) for name, text in case["input"].items()}
    fields = decode(given["receipt"], size_max=1024)
    receipt = receipt_from_fields(fields, NETWORK, given["responder"], given["request_id"])
    try:
        output = decode_evidence(given["evidence"])
        assert encode_evidence(output) == given["evidence"]
        found = "none" if output is None else "fits" if receipt.covers(output, given["question"]) else "other"
        reason = "the receipt is for another answer" if found == "other" else None
    except DecodeError as error:
        found, reason = "invalid", error.reason
    assert (found, reason) == (case["expect"], case["reason"])


def test_both_have_all_outcomes() -> None:
    """Every outcome has a vector."""
    assert {case["expect"] for case in _cases("evidence-request")} == {"accept", "reset"}
    assert {case["expect"] for case in _cases("evidence")} == {"fits", "none", "other", "invalid"}


@pytest.mark.parametrize(
    ("name", "item", "rule"),
    [("evidence-request", "request", "evidence-request"), ("evidence", "evidence", "claimed-answer")],
)
def test_the_grammar_describes_them(name: str, item: str, rule: str) -> None:
    """All well-formed values conform, and the grammar alone refuses most of the others."""
    shown = [c for c in _cases(name) if c["expect"] != "none"]  # "none" has no answer to check
    good = [bytes.fromhex(c["input"][item]) for c in shown if c["expect"] not in {"reset", "invalid"}]
    bad = [bytes.fromhex(c["input"][item]) for c in shown if c["expect"] in {"reset", "invalid"}]
    assert good
    assert all(conforms(rule, data) for data in good)
    assert sum(not conforms(rule, data) for data in bad) > len(bad) // 2


def test_the_page_shows_the_first_of_each() -> None:
    """The page's examples are the first valid vectors."""
    page = (PROTOCOL / "evidence.md").read_text(encoding="utf-8")
    request, shown = (bytes.fromhex(block) for block in re.findall(r"```hex\n(.*?)\n```", page, re.DOTALL))
    assert request.hex() == _cases("evidence-request")[-_valid("evidence-request")]["input"]["request"]
    assert shown.hex() == _cases("evidence")[-_valid("evidence")]["input"]["evidence"]
    assert decode_evidence_request(request)[0].epoch == 12


def _valid(name: str) -> int:
    """The number of cases in the file of valid ones, which comes last."""
    return len(json.loads((PROTOCOL / "vectors" / name / "valid.json").read_text(encoding="utf-8")))
