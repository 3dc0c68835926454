"""Vectors of states, and of the first states of networks that go on from a cut."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.network import decode_network
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.encoding.merkle import root
from p2pverify.core.errors import DecodeError
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import (
    MONEY_SECTIONS,
    STATE_BYTES_MAX,
    decode_state,
    encode_state,
    sections_of,
)
from p2pverify.core.state.fork import fork, forked_network, read_start, write_start
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
#: The rule of a leaf is the section's name without its plural, unless it stands here.
RULES = {
    "header": "state-header",
    "duties": "duty-leaf",
    "audits": "audits-leaf",
    "reports": "reports-leaf",
    "contested": "contested-leaf",
    "dissent-marks": "mark-leaf",
    "proposals": "proposals-leaf",
    "signatures": "signatures-leaf",
    "claims": "claims-leaf",
}


def load(path: str) -> list[Any]:
    cases = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


def data(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case["input"][name])


def parts(written: bytes) -> list[tuple[str, list[bytes]]]:
    """The sections of a state, with their leaves."""
    top: Any = decode(written, size_max=STATE_BYTES_MAX)
    return [(name, leaves) for name, leaves in top[1]]


def grouped(leaves: list[bytes]) -> bytes:
    """The root over groups of 32 leaves, as the page says it."""
    hashes = [sha256(b"\x00" + each) for each in leaves]
    return root([b"".join(hashes[at : at + 32]) for at in range(0, len(hashes), 32)])


@pytest.mark.parametrize("case", load("state/valid.json"))
def test_a_state_is_read_and_written_again(case: dict[str, Any]) -> None:
    written = data(case, "state")
    found = decode_state(written)
    assert {"network": found.network_id.hex(), "root": found.root.hex()} == case["expect"]
    assert encode_state(found.network_id, found.state) == written
    assert state_root(found.network_id, found.state) == found.root
    sections = [encode([name, len(leaves), grouped(leaves)]) for name, leaves in parts(written)]
    assert grouped(sections).hex() == case["expect"]["root"]


@pytest.mark.parametrize("case", load("state/invalid.json"))
def test_what_is_no_state_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_state(data(case, "state"))
    assert (case["expect"], case["reason"]) == ("reject", refused.value.reason)


def test_states_conform_to_the_grammar() -> None:
    """As a whole, and each leaf to the rule of its section. The page has a row for each section."""
    page = (PROTOCOL / "state.md").read_text(encoding="utf-8")
    filled = set()
    for (case,) in (param.values for param in load("state/valid.json")):
        written = data(case, "state")
        assert conforms("state", written)
        names = ["header", *(s.name for s in sections_of(bytes(32)))]
        found = [name for name, _ in parts(written)]
        assert found in (names, [*names, *(s.name for s in MONEY_SECTIONS)])
        for name, leaves in parts(written):
            rule = RULES.get(name, f"{name.removesuffix('s')}-leaf")
            assert f"| `{name}` | `{rule}` |" in page
            assert all(conforms(rule, leaf) for leaf in leaves), name
            filled |= {name} if leaves else set()
    assert {s.name for s in MONEY_SECTIONS} <= filled
    assert {s.name for s in sections_of(bytes(32))} - filled == {"banned", "early-conflicts"}


@pytest.mark.parametrize("case", load("forked-state/valid.json"))
def test_a_first_state_follows_from_a_cut_and_the_peers_left_behind(case: dict[str, Any]) -> None:
    old = decode_network(data(case, "network"))
    found = decode_state(data(case, "state"))
    assert found.network_id == old.id
    behind, away = ([bytes.fromhex(peer) for peer in case["input"][name]] for name in ("behind", "away"))
    first = fork(found.state, behind, away)
    made = forked_network(old, data(case, "cut"), first)
    assert {"first": write_start(made, first).hex(), "network": made.encode().hex()} == case["expect"]
    read = read_start(decode_network(bytes.fromhex(case["expect"]["network"])), bytes.fromhex(case["expect"]["first"]))
    assert (read.index, read.epoch, read.beacon) == (found.state.index, found.state.epoch, found.state.beacon)
    assert sha256(made.encode()) == made.id


@pytest.mark.parametrize("case", load("forked-state/invalid.json"))
def test_a_first_state_that_no_fork_makes_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as refused:
        read_start(decode_network(data(case, "network")), data(case, "first"))
    assert (case["expect"], case["reason"]) == ("reject", refused.value.reason)
    assert f"`{refused.value.reason}`" in " ".join((PROTOCOL / "fork.md").read_text(encoding="utf-8").split())
