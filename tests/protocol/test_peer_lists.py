"""The vectors of peer lists, read like another implementation."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.errors import DecodeError
from p2pverify.net.peers.peer_list import decode_peer_list, encode_peer_list

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "peer-list"


def _cases(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return found


def test_both_kinds_are_there() -> None:
    """There are several valid lists, and more invalid ones with different reasons."""
    assert len(_cases("valid.json")) >= 5
    assert len({case["reason"] for case in _cases("invalid.json")}) >= 12


@pytest.mark.parametrize("case", _cases("valid.json"), ids=lambda case: case["comment"])
def test_lists_that_are_fine(case: dict[str, Any]) -> None:
    """Every statement is signed by its peer, and statements about others are current."""
    frame = bytes.fromhex(case["input"]["frame"])
    found = decode_peer_list(frame)
    assert encode_peer_list(found) == frame
    assert found.network_id.hex() == case["input"]["network"]
    assert found.own is None or (found.own.is_signed() and found.own.peer.hex() == case["input"]["sender"])
    for statement in found.peers:
        assert statement.is_signed()
        assert statement.is_current(case["input"]["now_ms"])


@pytest.mark.parametrize("case", _cases("invalid.json"), ids=lambda case: case["comment"])
def test_lists_that_are_not(case: dict[str, Any]) -> None:
    """Malformed lists are refused with their reason. The others have a wrong statement."""
    frame, inputs = bytes.fromhex(case["input"]["frame"]), case["input"]
    if case["expect"] == "malformed":
        with pytest.raises(DecodeError) as caught:
            decode_peer_list(frame)
        assert caught.value.reason == case["reason"]
        return
    found = decode_peer_list(frame)
    network = bytes.fromhex(inputs["network"])
    others = all(s.network == network and s.is_current(inputs["now_ms"]) for s in found.peers)
    own = found.own is not None and (found.own.network, found.own.peer.hex()) == (network, inputs["sender"])
    holds = {
        "another network": found.network_id == network,
        "the sender's addresses are not signed by itself": own and found.own is not None and found.own.is_signed(),
        "of another network, or not current": others,
        "not signed": all(statement.is_signed() for statement in found.peers),
    }
    assert not holds[case["reason"]]
