"""The sum of all accounts is 0 at every cut, whatever members do: pledges, cheques, lies, rounds and their replays.

`python -m tests.simulation.accounts 0-999` plays a thousand worlds.
"""

import pytest

from tests.simulation.accounts import AccountsWorld

SEEDS = range(6)


@pytest.fixture(scope="module", params=SEEDS)
def played(request: pytest.FixtureRequest):
    return AccountsWorld(request.param).play()


def test_the_sum_of_all_accounts_is_0_at_every_cut(played) -> None:
    assert played.is_right, played
    assert played.cuts >= 15
    assert played.moved["answers"] > 0
    assert played.moved["audits"] > 0
