"""Vectors of passports."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.network import decode_network
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.passport import Refuted, check_passport, decode_passport
from tests.support.grammar import conforms
from tests.support.proofs import shown_passport

PROTOCOL = Path(__file__).parents[2] / "protocol"


def load(path: str) -> list[Any]:
    cases = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


@pytest.mark.parametrize("case", load("passport/valid.json"))
def test_valid(case: dict[str, Any]) -> None:
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    data = bytes.fromhex(case["input"]["passport"])
    found = decode_passport(data)
    assert found.encode() == data
    assert conforms("passport", data)
    assert shown_passport(check_passport(network, found)) == case["expect"]


@pytest.mark.parametrize("case", load("passport/invalid.json"))
def test_invalid(case: dict[str, Any]) -> None:
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    with pytest.raises((DecodeError, Refuted)) as refused:
        check_passport(network, decode_passport(bytes.fromhex(case["input"]["passport"])))
    assert str(refused.value) == case["reason"]
