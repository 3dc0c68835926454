"""Vectors of committees: the draw, the seats, and the proof of work of late voters."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.blind import committees
from p2pverify.core.encoding import vrf
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import vote_commit

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "committee"


def _load(name: str) -> list[Any]:
    cases = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


def _bytes(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case["input"][name])


def _dispute(case: dict[str, Any]) -> DisputeKey:
    return DisputeKey(_bytes(case, "challenger"), case["input"]["epoch"], case["input"]["slot"])


@pytest.mark.parametrize("case", _load("lots"))
def test_lots(case: dict[str, Any]) -> None:
    """A proof for this input has this output, which is drawn or not."""
    given, expected = case["input"], case["expect"]
    alpha = lots.lot_alpha(_bytes(case, "network"), _dispute(case), given["stage"], _bytes(case, "beacon"))
    assert alpha.hex() == expected["alpha"]
    output = vrf.verify(_bytes(case, "vrf_key"), alpha, _bytes(case, "proof"))
    assert output is not None
    assert output.hex() == expected["output"]
    assert committees.is_drawn(output, given["stage"], given["voters"]) == expected["drawn"]


@pytest.mark.parametrize("case", _load("bars"))
def test_bars(case: dict[str, Any]) -> None:
    """An output near the bar is on this side of it."""
    assert (
        committees.is_drawn(_bytes(case, "output"), case["input"]["stage"], case["input"]["voters"]) == case["expect"]
    )


@pytest.mark.parametrize("case", _load("seats"))
def test_seats(case: dict[str, Any]) -> None:
    """These volunteers get seats."""
    outputs = {bytes.fromhex(voter): bytes.fromhex(output) for voter, output in case["input"]["lots"]}
    found = committees.take_seats(outputs, case["input"]["stage"])
    assert sorted(voter.hex() for voter in found) == case["expect"]


@pytest.mark.parametrize("case", _load("shown"))
def test_shown_work(case: dict[str, Any]) -> None:
    """The proof of a work, and the seal that holds it."""
    given, key, network = case["input"], _dispute(case), _bytes(case, "network")
    shown = lots.shown_work(network, key, given["stage"], _bytes(case, "work"))
    assert shown.hex() == case["expect"]["shown"]
    said = (given["class"], _bytes(case, "output"), _bytes(case, "salt"), shown)
    assert vote_commit(network, key, _bytes(case, "voter"), *said).hex() == case["expect"]["commit"]
