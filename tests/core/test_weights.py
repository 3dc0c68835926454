"""Who gets weight, and how many may have it."""

from collections.abc import Mapping

import pytest

from p2pverify.core.records import HEADS_MAX, Head
from p2pverify.core.state import Contact, Member, State, genesis
from p2pverify.core.step import Frame, Step, class_steps
from p2pverify.core.weights import WEIGHTED_MAX, update
from tests.support.world import make_network, seeds

NETWORK = make_network(seeds(1, "weights"))
NEWCOMER = b"\xff" * 32


def state_of(weighted: int, **changes: object) -> State:
    """A state with so many members with weight, and one that has earned it from all of them but for `changes`."""
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    keys = [number.to_bytes(32, "big") for number in range(weighted)]
    state.members = {key: Member(active=True, weight=1) for key in keys}
    state.members[NEWCOMER] = Member(
        active=True,
        duties_met=1,
        slots_owed=1,
        credits=frozenset(keys),
        contacts={key: Contact(1, 1) for key in keys},
    )
    state.change(NEWCOMER, **changes)
    return state


def admitted(state: State) -> bool:
    base = genesis(NETWORK)

    def contains(_later: Mapping[bytes, Head], _earlier: object) -> bool:
        return True

    frame = Frame(lambda _cut: None, contains)
    update(Step(NETWORK, NETWORK.id, base, state, frame, class_steps(NETWORK)))
    return state.members[NEWCOMER].weight == 1


def test_no_more_have_weight_than_whose_signatures_a_cut_can_hold() -> None:
    """The last place is given, and then no more; two thirds of all fit into a cut with room to spare."""
    assert admitted(state_of(WEIGHTED_MAX - 1))
    assert not admitted(state_of(WEIGHTED_MAX))
    assert WEIGHTED_MAX < HEADS_MAX


@pytest.mark.parametrize(
    ("changes", "earned"),
    [
        ({}, True),
        ({"credits": frozenset(number.to_bytes(32, "big") for number in range(4))}, True),
        ({"credits": frozenset(number.to_bytes(32, "big") for number in range(3))}, False),
        ({"credits": frozenset(b"\xee%31d" % number for number in range(9))}, False),
        ({"active": False}, False),
        ({"convicted_epoch": 3}, False),
        ({"fork_until": 20}, False),
        ({"fork_until": 19}, True),
        ({"no_shows": 1}, False),
        ({"contacts": {number.to_bytes(32, "big"): Contact(10, 8) for number in range(9)}}, False),
        ({"contacts": {number.to_bytes(32, "big"): Contact(10, 9) for number in range(9)}}, True),
    ],
)
def test_what_earns_weight(changes: dict[str, object], earned: bool) -> None:
    """Credits of more than a third of nine with weight, availability, slots that were shown; and a clean record."""
    assert admitted(state_of(9, **changes)) == earned
