"""The exploration of `tests/core/replica/test_exploration.py`, wider and deeper."""

import pytest

from tests.support.exploration import Explorer


@pytest.mark.parametrize("hostile", [0, 1])
def test_more_orders_of_delivery_break_no_promise(hostile: int) -> None:
    """Four epochs, and thousands of worlds."""
    explorer = Explorer(hostile=hostile, epochs=4)
    last = explorer.explore(steps=22, width=20)
    assert explorer.found.worlds > 1_500
    assert explorer.found.longest > 2
    assert explorer.found.parted is None
    assert explorer.found.convicted is None
    for world in last[:10]:
        after = explorer.healed(world, epochs=2)
        assert after.observer.fold.latest.index > world.observer.fold.latest.index
