"""Boxes in vectors and grammar agree, also with PyNaCl's own sealed boxes."""

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from p2pverify.core.encoding.canon import decode
from p2pverify.core.records.payloads.report import decode_report
from p2pverify.core.roles.disputes.boxes import open_box
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"


def _cases() -> list[Any]:
    paths = sorted((PROTOCOL / "vectors" / "box").glob("*.json"))
    return [case for path in paths for case in json.loads(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in _cases()])
def test_boxes(case: dict[str, Any]) -> None:
    """A seat gets the question that was reported, or knows why it got none."""
    given = {name: bytes.fromhex(text) for name, text in case["input"].items()}
    report = decode_report(given["report"], given["network"], given["reporter"])
    found = open_box(given["answer"], given["secret"], report.audit, given["network"])
    if case["expect"] == "accept":
        assert not isinstance(found, str)
        assert found.question.id.hex() == case["question_id"]
        assert conforms("sealed-box", given["answer"])
    else:
        assert found == case["reason"]


def test_another_library_opens_the_same() -> None:
    """What opens is canonical and of the grammar in all accepted cases, and what does not open here does not there."""
    opened = 0
    for case in _cases():
        answer, secret = bytes.fromhex(case["input"]["answer"]), bytes.fromhex(case["input"]["secret"])
        if not conforms("sealed-box", answer):
            assert case["expect"] == "reject"
            continue
        (sealed,) = decode(answer, size_max=len(answer))  # type: ignore[misc,str-unpack]
        assert isinstance(sealed, bytes)
        try:
            content = SealedBox(PrivateKey(secret)).decrypt(sealed)
        except CryptoError:
            assert case["reason"] == "the reporter's box does not open"
            continue
        opened += 1
        if case["expect"] == "accept":
            assert conforms("boxed-question", content)
    assert opened >= 6
    assert NO_EVIDENCE in [bytes.fromhex(case["input"]["answer"]) for case in _cases()]
