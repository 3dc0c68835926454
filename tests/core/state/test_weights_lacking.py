"""The conditions that a member still lacks for weight: one function gives the rule and its explanation."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.state.state import Contact, Member, State
from p2pverify.core.state.weights import Lack, has_earned_weight, lacking
from tests.support.networks import make_network, seeds

PARAMS = make_network(seeds(1, "lacking")).params
PEERS = [bytes([number]) * 32 for number in range(9)]


def state_at(*, epoch: int, index: int) -> State:
    """A state with nothing in it."""
    return State(bytes(32), epoch, index, bytes(32), {}, (), {})


def full_member() -> Member:
    """A member that has earned weight among three with weight."""
    contacts = {peer: Contact(10, 10) for peer in PEERS[:3]}
    return Member(
        active=True,
        joined_index=1,
        slots_owed=20,
        no_shows=2,
        duties_met=9,
        contacts=contacts,
        credits=frozenset(PEERS[:2]),
    )


def test_who_lacks_nothing_has_earned_weight():
    """If all conditions are just met, none is lacking. A member that already has weight earns none."""
    state, weighted = state_at(epoch=15, index=15), frozenset(PEERS[:3])
    member = full_member()
    assert lacking(state, PARAMS, member, weighted) == ()
    assert has_earned_weight(state, PARAMS, member, weighted)
    assert not has_earned_weight(state, PARAMS, replace(member, weight=1), weighted)


def test_each_condition_is_named_with_its_figures():
    """If one condition is missed by one, exactly this one is named, with its present and its needed figure."""
    state, weighted = state_at(epoch=15, index=15), frozenset(PEERS[:3])
    slow = {peer: Contact(10, 8) for peer in PEERS[:3]}
    missed: list[tuple[dict[str, Any], Lack]] = [
        ({"active": False}, Lack("membership", 0, 1)),
        ({"convicted_epoch": 3}, Lack("no conviction", 0, 1)),
        ({"fork_until": 15}, Lack("end of the penalty", 15, 16)),
        ({"suspended_until": 20}, Lack("end of the penalty", 15, 21)),
        ({"rests_from": 9}, Lack("end of rest", 9, 10)),
        ({"credits": frozenset(PEERS[:1])}, Lack("agreement", 1, 2)),
        ({"credits": frozenset(PEERS[2:8])}, Lack("agreement", 1, 2)),
        ({"contacts": slow}, Lack("availability", 800_000, 900_000)),
        ({"contacts": {}}, Lack("availability", 0, 900_000)),
        ({"duties_met": 8}, Lack("duties", 8, 9)),
        ({"no_shows": 3}, Lack("slots shown", 17, 18)),
    ]
    for changes, expected in missed:
        member = replace(full_member(), **changes)
        assert lacking(state, PARAMS, member, weighted) == (expected,)
        assert not has_earned_weight(state, PARAMS, member, weighted)


@given(
    has=st.integers(0, 40),
    owed=st.integers(0, 40),
    no_shows=st.integers(0, 40),
    index=st.integers(0, 60),
    credited=st.integers(0, 9),
    weighted=st.integers(0, 9),
)
def test_the_figures_say_the_same_as_the_shares(has, owed, no_shows, index, credited, weighted):
    """The needed figures are shares rounded up: more than a third of the weight, at least nine tenths of duties and
    slots."""
    member = replace(
        full_member(),
        duties_met=has,
        slots_owed=owed,
        no_shows=min(no_shows, owed),
        credits=frozenset(PEERS[:credited]),
        contacts={peer: Contact(1, 1) for peer in PEERS},
    )
    state, electors = state_at(epoch=index, index=index), frozenset(PEERS[:weighted])
    named = {lack.what for lack in lacking(state, PARAMS, member, electors)}
    assert ("agreement" in named) == (3 * min(credited, weighted) <= weighted)
    assert ("duties" in named) == (10 * has < 9 * (index - 1 - 4))
    assert ("slots shown" in named) == (10 * (owed - min(no_shows, owed)) < 9 * owed)
    assert has_earned_weight(state, PARAMS, member, electors) == (not named)


def test_the_tenure_comes_before_weight():
    """Nine tenths of the contract's tenure must be met, however short the membership is."""
    params = replace(PARAMS, tenure_epochs=100)
    state, weighted = state_at(epoch=15, index=15), frozenset(PEERS[:3])
    assert lacking(state, params, full_member(), weighted) == (Lack("duties", 9, 90),)
    assert has_earned_weight(state, params, replace(full_member(), duties_met=90), weighted)
