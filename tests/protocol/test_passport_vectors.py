"""Vectors of passports."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import decode_passports, decode_passports_wanted
from p2pverify.core.proofs.passport import Refuted, check_passport, check_passports, decode_passport
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


@pytest.mark.parametrize("case", [*load("passport-request/valid.json"), *load("passport-request/invalid.json")])
def test_requests(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input"]["request"])
    if case["expect"] == "accept":
        assert decode_passports_wanted(data).encode() == data
        assert conforms("passports-wanted", data)
    else:
        with pytest.raises(DecodeError) as refused:
            decode_passports_wanted(data)
        assert refused.value.reason == case["reason"]


@pytest.mark.parametrize("case", load("passport-set/valid.json"))
def test_valid_sets(case: dict[str, Any]) -> None:
    """Each row is a passport of its own too."""
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    data = bytes.fromhex(case["input"]["passports"])
    found = decode_passports(data)
    if found is None:
        assert case["expect"] is None
        return
    assert found.encode() == data
    assert conforms("passport-set", data)
    shown = [shown_passport(each) for each in check_passports(network, found.certificate, found.scores)]
    assert shown == case["expect"]
    assert shown == [shown_passport(check_passport(network, each)) for each in found.passports()]


@pytest.mark.parametrize("case", load("passport-set/invalid.json"))
def test_invalid_sets(case: dict[str, Any]) -> None:
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    with pytest.raises((DecodeError, Refuted)) as refused:
        _check_set(network, bytes.fromhex(case["input"]["passports"]))
    assert str(refused.value) == case["reason"]


def _check_set(network: Network, data: bytes) -> None:
    found = decode_passports(data)
    assert found is not None
    check_passports(network, found.certificate, found.scores)
