"""The pace at which weight changes hands: admissions, sponsors, and silent weight that rests."""

from dataclasses import replace
from itertools import pairwise
from math import log

import pytest

from p2pverify.core.state import sponsors, weights
from p2pverify.core.state.state import Contact, Member, State
from tests.core.state.test_weights import NETWORK

T = 400
PARAMS = replace(NETWORK.params, growth_epochs=T, rest_epochs=256)


def key(number: int, kind: int = 0) -> bytes:
    return bytes([kind]) + number.to_bytes(31, "big")


def state_of(weighted: int, waiting: int = 0, **changes: object) -> State:
    """Members with weight, and newcomers that have earned it."""
    keys = [key(number) for number in range(weighted)]
    members = {peer: Member(active=True, weight=1, founder=True, joined_index=1) for peer in keys}
    for number in range(waiting):
        members[key(number, 1)] = Member(
            active=True,
            duties_met=10**6,
            credits=frozenset(keys),
            contacts={peer: Contact(9, 9) for peer in keys},
            **changes,  # type: ignore[arg-type]
        )
    return State(bytes(32), 0, 0, bytes(32), {}, (), members)


def earn(state: State) -> None:
    """Whatever the newcomers need, they have."""
    weighted = frozenset(peer for peer, member in state.members.items() if member.weight)
    for member in state.members.values():
        if not member.weight:
            member.credits = weighted
            member.contacts = dict.fromkeys(weighted, Contact(9, 9))


@pytest.mark.parametrize(("founders", "growth"), [(3, T), (16, T), (40, 4 * T)])
def test_a_third_and_a_half_take_the_same_time_however_many_founders_there_are(founders: int, growth: int) -> None:
    """All admissions go to one stranger with any number of machines: T ln 1.5 and T ln 2, within a tenth.

    With T less than a few hundred times the number of members, rounding makes it slower.
    """
    state = state_of(founders, waiting=founders + 1)
    reached: dict[float, int] = {}
    while len(reached) < 2:
        state.epoch += 1
        earn(state)
        weights.update(state, replace(PARAMS, growth_epochs=growth))
        hostile = sum(member.weight for member in state.members.values()) - founders
        for share in (1 / 3, 1 / 2):
            if hostile >= share * (founders + hostile):
                reached.setdefault(share, state.epoch)
    slack = -(-growth // founders)  # the first one comes after a whole step
    assert abs(reached[1 / 3] - growth * log(1.5)) <= 0.1 * growth * log(1.5) + slack
    assert abs(reached[1 / 2] - growth * log(2)) <= 0.1 * growth * log(2) + slack


def sponsor(state: State, author: bytes, peer: bytes) -> str | None:
    refused = sponsors.refuse(state, PARAMS, author, peer)
    if refused is None:
        state.change(peer, sponsors=state.members[peer].sponsors | {author})
        state.change(author, sponsored_epoch=state.epoch)
    return refused


def test_a_peer_with_two_sponsors_comes_in_four_times_as_soon() -> None:
    state = state_of(4, waiting=2)
    state.admitted_epoch = state.sponsored_epoch = state.epoch = 100
    newcomer = key(1, 1)
    assert sponsor(state, key(0), newcomer) is None
    for epoch, expected in ((100 + T // 4 // 4, 0), (100 + T // 4 // 4 + 1, 1)):
        state.epoch = epoch
        weights.update(state, PARAMS)
        assert state.members[newcomer].weight == expected
        if not expected:
            assert sponsor(state, key(1), newcomer) is None
    assert not state.members[key(0, 1)].weight
    assert (state.admitted_epoch, state.sponsored_epoch) == (100, state.epoch)


def test_what_a_sponsor_may_not_do() -> None:
    state = state_of(4, waiting=3)
    newcomer, other = key(0, 1), key(1, 1)
    assert sponsor(state, newcomer, other) == "author has no weight"
    assert sponsor(state, key(0), key(1)) == "no newcomer"
    assert sponsor(state, key(0), key(9, 9)) == "no newcomer"
    assert sponsor(state, key(0), newcomer) is None
    assert sponsor(state, key(0), other) == "author has sponsored another peer lately"
    state.change(key(1), sponsors=frozenset([key(0)]))
    assert sponsor(state, key(1), newcomer) == "sponsors vouched for each other"
    assert sponsor(state, key(2), newcomer) is None
    assert sponsor(state, key(3), newcomer) == "it has sponsors"
    state.epoch += -(-T // 12)
    assert sponsor(state, key(0), newcomer) == "it has sponsors"
    assert sponsor(state, key(0), other) is None


def test_silent_weight_rests_one_by_one_and_comes_back_with_a_duty() -> None:
    """Three of six fall silent. Their weight is put to rest at the pace of admissions, the longest silent one first."""
    state = state_of(6)
    for number in range(6):
        state.change(key(number), seen_index=number, duties_met=5)
    seen: list[tuple[int, list[int]]] = []
    for epoch in range(260, 900):
        state.epoch = state.index = epoch
        for number in range(3, 6):
            state.change(key(number), seen_index=epoch)
        weights.update(state, PARAMS)
        resting = [number for number in range(6) if state.members[key(number)].rests_from >= 0]
        if not seen or seen[-1][1] != resting:
            seen.append((epoch, resting))
    assert [resting for _, resting in seen] == [[0], [0, 1], [0, 1, 2]]
    pauses = [later[0] - earlier[0] for earlier, later in pairwise(seen)]
    assert pauses == [-(-T // 5), -(-T // 4)]
    assert sum(member.weight for member in state.members.values()) == 3
    state.change(key(1), duties_met=6, seen_index=state.index)
    state.epoch = state.index = 900 + T
    weights.update(state, PARAMS)
    assert state.members[key(1)].weight == 1
    assert [state.members[key(number)].weight for number in (0, 2)] == [0, 0]


def test_the_last_weight_does_not_rest() -> None:
    state = state_of(1)
    state.epoch = state.index = 10**6
    weights.update(state, PARAMS)
    assert state.members[key(0)].weight == 1
