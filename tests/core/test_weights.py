"""Who gets weight, and how many may have it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from p2pverify.core.canon import digest
from p2pverify.core.records import HEADS_MAX, Head
from p2pverify.core.state import Contact, Member, State, genesis
from p2pverify.core.step import Frame, Step, class_steps
from p2pverify.core.weights import ADMIT, WEIGHTED_MAX, update
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


def with_others(state: State, count: int) -> list[bytes]:
    """More newcomers who have earned weight as the first one has."""
    keys = [bytes([0xFE, number]) + bytes(30) for number in range(count)]
    for key in keys:
        state.members[key] = replace(state.members[NEWCOMER])
    return [NEWCOMER, *keys]


def test_admissions_are_capped() -> None:
    """One newcomer at a time, drawn by the beacon, however many have earned it; the next after some epochs."""
    state = state_of(9)
    crowd = with_others(state, 5)
    admitted(state)
    first = [key for key in crowd if state.members[key].weight]
    assert first == [min(crowd, key=lambda key: digest([ADMIT, state.beacon, key]))]
    state.epoch += NETWORK.params.admission_epochs - 1
    admitted(state)
    assert [key for key in crowd if state.members[key].weight] == first
    state.epoch += 1
    admitted(state)
    assert sum(state.members[key].weight for key in crowd) == 2


def test_taking_weight_comes_before_giving_it() -> None:
    """Where a cut may change one weight, that of a convicted member goes first."""
    state = state_of(9)
    convicted = (3).to_bytes(32, "big")
    state.change(convicted, convicted_epoch=19)
    assert NETWORK.params.weight_changes_per_cut == 1
    assert not admitted(state)
    assert not state.members[convicted].weight
    assert admitted(state)
