"""Attacks on the versions of a model: every row of the cheat book that has upgrades.

This is no quick test, because a row plays twenty to thirty epochs of thirteen peers.
"""

import pytest

from p2pverify.core.state.lines.versions import is_behind, notes_of
from p2pverify.testnet.casebook.entries import SIMULATED, Simulated
from p2pverify.testnet.casebook.worlds import plan_of, play_world
from p2pverify.testnet.world import World
from p2pverify.testnet.world.plan import HONEST

ENTRIES = {entry.kind: entry for entry in SIMULATED if entry.upgrades}


def played(kind: str) -> World:
    """A world of a row at its end."""
    world = World(plan_of(ENTRIES[kind], 1))
    world.play(lambda _epoch: False)
    assert world.invariants.faults == []
    return world


@pytest.mark.parametrize("entry", [ENTRIES["stale-version"], ENTRIES["freeze"]], ids=lambda entry: entry.kind)
def test_a_row_comes_out_as_expected(entry: Simulated) -> None:
    """All hostile peers meet their fate, no honest one is convicted, and the versions are those of the publishers."""
    found = play_world(entry, 1)
    assert (found.shown, found.missed, found.honest_convicted, found.broken) == (entry.hostile, 0, 0, ())
    assert found.convicted == (entry.hostile if entry.kind == "stale-version" else 0)


def test_who_stays_on_a_version_that_is_over_is_behind_and_claims_it_in_vain() -> None:
    """One peer never left version 0, the other one stays on version 2. Both stand as behind, and no one else does."""
    world = played("rollback")
    state = world.honest[0].machine.fold.latest
    behind = {peer.key: state.version_of(peer.key) for peer in world.peers if is_behind(world.network, state, peer.key)}
    assert sorted(behind.values()) == [0, 2]
    assert set(behind) == {peer.key for peer in world.peers if peer.kind != HONEST}
    assert state.totals["serve: the member serves it"] > 0
    assert not state.convicted


def test_one_stolen_key_releases_nothing() -> None:
    """Its release does not count. Version 1 was released and recalled by the publishers."""
    world = played("stolen-publisher-key")
    state = world.honest[0].machine.fold.latest
    assert state.totals["release: too few publishers signed"] > 0
    notes = notes_of(world.network, state, 0)
    assert [(version.number, version.is_recalled) for version in notes.versions] == [(1, True)]
    assert notes.struck == frozenset()


def test_two_bodies_void_the_number_and_strike_the_keys() -> None:
    """Version 2 is nobody's, and version 1 stays current."""
    world = played("two-bodies")
    state = world.honest[0].machine.fold.latest
    notes = notes_of(world.network, state, 0)
    assert notes.newest == 2
    assert len(notes.struck) == 2
    assert [version.number for version in notes.versions if not version.is_recalled] == [1]
    assert {state.version_of(peer.key) for peer in world.honest} == {1}
