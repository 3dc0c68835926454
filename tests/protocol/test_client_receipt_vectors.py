"""Vectors of receipts as files, and the example of their page."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.network import decode_network
from p2pverify.core.proofs.passport import Refuted
from p2pverify.node.clients import checking
from p2pverify.node.clients.checking import check_receipt_document, parse_receipt_file
from p2pverify.node.reports.documents.jsonform import DocumentError
from tests.support.proofs import shown_answer

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "client-receipt.md").read_text(encoding="utf-8")


def load(name: str) -> list[Any]:
    found: list[Any] = json.loads((PROTOCOL / "vectors/client-receipt" / name).read_text(encoding="utf-8"))
    return found


VALID, INVALID = load("valid.json"), load("invalid.json")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in [*VALID, *INVALID]])
def test_receipts(case: dict[str, Any]) -> None:
    """Each receipt shows what the vector says, or is refused for its reason."""
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    found: object = "reject"
    reason = None
    try:
        receipt = parse_receipt_file(case["input"]["receipt"].encode())
        found = [shown_answer(each) for each in check_receipt_document(network, receipt)]
    except (DocumentError, Refuted) as refused:
        reason = str(refused)
    assert (found, reason) == (case["expect"], case["reason"])


def test_the_page_shows_the_first() -> None:
    """Its example is the first valid vector; a string that ends with dots is the beginning of the vector's."""
    shown = json.loads(PAGE.split("```json\n", 1)[1].split("\n```", 1)[0])
    first = json.loads(VALID[0]["input"]["receipt"])
    for name in ("request", "response", "passport"):
        assert first["answers"][0][name].startswith(shown["answers"][0][name].removesuffix("..."))
        shown["answers"][0][name] = first["answers"][0][name]
    assert shown == first


def test_the_page_names_what_is_compared_in_order() -> None:
    """Every member that was signed has a vector, and stands on the page in the order of the checks."""
    end = " that it shows is not the one that was signed"
    named = [case["reason"].split(": ", 1)[1].removesuffix(end) for case in INVALID if case["reason"].endswith(end)]
    compared = list(dict.fromkeys(named))
    assert len(compared) > 10
    assert ", ".join(compared) in " ".join(PAGE.split())
    assert f"{checking.RECEIPT_FILE_BYTES_MAX:,}" in PAGE


def test_only_utf_8_is_read() -> None:
    """Python's reader would take UTF-16 too."""
    with pytest.raises(DocumentError, match="not JSON"):
        parse_receipt_file(VALID[0]["input"]["receipt"].encode("utf-16"))
