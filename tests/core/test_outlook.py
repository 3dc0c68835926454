"""Estimates of a member's waiting times, compared with whole networks."""

from dataclasses import replace

import pytest

from p2pverify.core.outlook import first_score_epoch, next_cut, prospect
from p2pverify.core.state.weights import Lack
from tests.support.lines import overlap_world
from tests.support.worlds import make_world


def test_the_next_cut_is_the_one_that_comes():
    """At any time, the next final cut has the predicted epoch, and it is not final before it is due."""
    world = make_world(5, seed=4)
    machine = world.peers[0].machine
    told: dict[int, tuple[int, int]] = {}
    for _ in range(120):
        latest = machine.fold.latest
        told[latest.index] = next_cut(machine.network.params, latest, world.now_ms)
        world.run_epochs(0.1)
        found = machine.fold.latest
        if found.index == latest.index + 1:
            epoch, due_ms = told[latest.index]
            assert (found.epoch, True) == (epoch, due_ms <= world.now_ms)
    assert len(told) > 8


def test_first_scores_come_when_they_are_expected():
    """No peer has a score in a final view before the predicted epoch, and most have one at most an epoch later."""
    world = make_world(6, seed=8)
    machine = world.peers[0].machine
    expected: dict[bytes, int] = {}
    found: dict[bytes, int] = {}
    for _ in range(100):
        world.run_epochs(0.1)
        latest = machine.fold.latest
        for key, member in latest.members.items():
            if member.audits:
                found.setdefault(key, latest.epoch)
            elif member.active:
                told = first_score_epoch(machine.network, latest, key, 0, world.now_ms)
                assert told is not None
                expected.setdefault(key, told)
    assert len(found) == 6
    late = [found[key] - expected[key] for key in expected]
    assert min(late) >= 0
    assert sorted(late)[len(late) // 2] <= 1


def test_without_another_member_there_is_no_first_score_to_expect():
    """A peer that is alone, beside convicted peers only, or beside a class that cannot ask it gets no prediction."""
    world = make_world(3, seed=2)
    world.run_epochs(4)
    machine = world.peers[0].machine
    network, latest, key = machine.network, machine.fold.latest, machine.key
    assert first_score_epoch(network, latest, key, 0, world.now_ms) is not None
    for members in (
        {key: latest.members[key]},
        {peer: replace(member, convicted_epoch=1) for peer, member in latest.members.items()},
        {peer: replace(member, active=False) for peer, member in latest.members.items()},
    ):
        assert first_score_epoch(network, replace(latest, members=members), key, 0, world.now_ms) is None


def test_only_members_with_the_same_version_can_ask():
    """A newcomer begins with the first version. Those that are behind ask nobody."""
    machine = overlap_world().peers[0].machine
    network, latest, key = machine.network, machine.fold.latest, machine.key
    now_ms = network.params.epoch_start_ms(9)
    for peer in (key, b"?" * 32):  # version 1, and a newcomer
        assert first_score_epoch(network, latest, peer, 0, now_ms) is not None
    left = {peer: member for peer, member in latest.members.items() if latest.version_of(peer) == 1}
    assert first_score_epoch(network, replace(latest, members=left), b"?" * 32, 0, now_ms) is None
    assert first_score_epoch(network, replace(latest, members=left), key, 0, now_ms) is not None
    late = replace(latest, epoch=latest.epoch + network.lines[0].overlap_epochs)
    assert first_score_epoch(network, late, b"?" * 32, 0, now_ms) is None


@pytest.mark.parametrize("admitted", [-1, 5, 40])
def test_the_way_to_weight(admitted):
    """Founders have weight. A non-member lacks only its membership. The next turn is never in the past."""
    world = make_world(4, seed=3)
    world.run_epochs(6)
    machine = world.peers[0].machine
    params, latest = machine.network.params, replace(machine.fold.latest, admitted_epoch=admitted)
    assert prospect(params, latest, machine.key, world.now_ms) is None
    way = prospect(params, latest, b"?" * 32, world.now_ms)
    assert way is not None
    assert way.lacks == (Lack("membership", 0, 1),)
    assert way.earned == 0
    coming = next_cut(params, latest, world.now_ms)[0]
    assert way.turn_epoch == max(coming, admitted + params.growth_epochs // 4)
