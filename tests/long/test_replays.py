"""Twenty choices of erased rows: each replay ends with the version of a run that never had them."""

from tests.support.replays import RealRounds, chosen_rows

CHOICES = 20


def test_the_replayed_version_is_that_of_a_run_without_the_rows() -> None:
    """Most choices change the version. Some do not, because the update of their owner was trimmed away."""
    changed = 0
    for choice in range(CHOICES):
        made = RealRounds(seed=100 + choice)
        made.run_until_decided(1 + choice % 3)
        erased = chosen_rows(choice)
        made.erase(erased)
        made.run_until_replayed(3)
        assert made.newest() == made.without(erased), choice
        assert made.world.invariants.faults == [], choice
        changed += made.without(erased) != made.without({})
    assert changed >= CHOICES * 3 // 4
