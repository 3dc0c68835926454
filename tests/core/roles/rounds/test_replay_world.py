"""Replays between peers of the simulated world that train real rows: the erased rows have left no trace."""

import pytest

from p2pverify.core.contract.history.training import OPEN, REPORTED
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.training.shown import decode_shown
from tests.support.replays import RealRounds, chosen_rows
from tests.support.training import NOISE
from tests.support.worlds import convicted, restart

NOISY = {**NOISE, "budget": 10**12}


@pytest.mark.parametrize("choice", range(2))
def test_the_replayed_version_is_that_of_a_run_without_the_rows(choice: int) -> None:
    """`tests/long/test_replays.py` makes more choices."""
    made = RealRounds(seed=choice + 3)
    made.run_until_decided(2)
    assert made.newest() == made.without({})
    erased = chosen_rows(choice)
    made.erase(erased)
    made.run_until_replayed(3)
    assert made.newest() == made.without(erased) != made.without({})
    assert made.world.invariants.faults == []
    assert convicted(made.world) == set()


def test_where_members_see_the_rows_nobody_is_called_a_liar() -> None:
    """In mode 0 every member trains again, also over the rows that are left."""
    made = RealRounds(mode=OPEN)
    made.run_until_decided(1)
    made.erase({0: [3], 3: range(10, 30)})
    made.run_until_replayed(3)
    assert made.newest() == made.without({0: [3], 3: range(10, 30)})
    assert not any(member.dissents for member in made.state.members.values())
    assert {row.row.finding.name for over in made.known.closed for row in over.contributions} == {"RIGHT"}


def test_a_replay_has_new_noise() -> None:
    """Equal noise on fewer rows would give the erased row away: it is the difference of the two updates."""
    made = RealRounds(rounds=2, **NOISY)
    made.run_until_decided(1)
    made.erase({1: [5]})
    made.run_until_replayed(2)
    assert made.newest() == made.without({1: [5]})
    seeds = [seed for (_, key), seed in made.noise.items() if key == made.keys[1]]
    assert len(seeds) == len(set(seeds)) >= 3
    assert len({sha256(seed) for seed in made.noise.values()}) == len(made.noise)


def test_peers_die_during_a_replay() -> None:
    """They train again after their restart. One that has erased rows meanwhile can be missing in a round."""
    made = RealRounds(rounds=2)
    made.run_until_decided(1)
    made.erase({0: [1, 2], 1: [7]})
    for phase in range(3):
        made.world.run_epochs(2.3)
        restart(made.world, phase, phase + 3)
    made.run_until_replayed(2)
    assert made.newest() == made.without({0: [1, 2], 1: [7]})
    assert convicted(made.world) == set()
    assert made.world.invariants.faults == []


def test_rounds_of_reported_losses_and_their_replay() -> None:
    """Mode 2: nobody shows a row. Owners report what updates do to theirs, also again after an erasure."""
    made = RealRounds(mode=REPORTED, held=0, held_rows=0, rounds=2)
    made.run_until_decided(1)
    made.erase({1: [5, 6]})
    made.run_until_replayed(2)
    assert {past.number for past in made.known.past} == {1, 2}
    for over in made.known.closed:
        assert over.gain > 0
        assert max(each.row.credit for each in over.contributions) > 0
    assert all(len(decode_shown(data)) == 0 for data in made.blobs.values() if b"shown-rows" in data)
    assert not any(member.dissents for member in made.state.members.values())
    assert made.world.invariants.faults == []
