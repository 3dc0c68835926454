"""Who earns what by duties, in a few of the runs of `tests.bench.settle.bench_incomes`."""

from statistics import mean

import pytest

from tests.bench.settle.incomes import play, vest_epochs


@pytest.mark.parametrize(("rate", "seed"), [(1.0, 1), (0.2, 2)])
def test_a_cheat_loses_an_idle_peer_owes_and_an_honest_one_is_even(rate: float, seed: int) -> None:
    """By chance an idle peer can be asked so often that it owes nothing after 40 epochs: the bench says how often."""
    run = play(seed, rate, 40, vest_epochs(rate))
    assert run.total == 0
    assert run.convicted_epoch is not None
    assert run.cheat.net <= 0
    assert run.idle.net < 0
    assert abs(mean(each.share for each in run.honest)) <= 0.2
