"""Twenty choices of erased rows: each replay ends with the version of a run that never had them."""

import pytest

from tests.support.replays import RealRounds, chosen_rows


@pytest.mark.parametrize("choice", range(20))
def test_the_replayed_version_is_that_of_a_run_without_the_rows(choice: int) -> None:
    made = RealRounds(seed=160 + choice)
    made.run_until_decided(1 + choice % 3)
    erased = chosen_rows(choice)
    made.erase(erased)
    made.run_until_replayed(3)
    assert made.newest() == made.without(erased) != made.without({})
    assert made.world.invariants.faults == []
