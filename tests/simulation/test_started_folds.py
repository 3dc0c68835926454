"""Folds that start from the bytes of a few states go on like the whole fold: in worlds of every kind, and under late
support at every gap.

More worlds: `python -m tests.simulation.started 0-49`.
"""

import pytest

from p2pverify.core.state.memory import NEAR_CARRY, memory_cuts
from tests.simulation.started import play
from tests.support.late_support import BEFORE, LateSupport
from tests.support.started import assert_goes_on_alike, folded

#: Kind, seed, number of starts (None: at every cut), and what the states must have carried over.
WORLDS = (
    ("hostile", 2, None, ("convicted", "beside", "disputes")),
    ("money", 3, 4, ("rounds", "accounts")),
    ("objections", 1, 3, ("beside", "objections")),
    ("committees", 1, 2, ("disputes", "staged")),
)


@pytest.mark.parametrize(("kind", "seed", "starts", "reaches"), WORLDS, ids=[world[0] for world in WORLDS])
def test_every_start_goes_on_alike(kind: str, seed: int, starts: int | None, reaches: tuple[str, ...]) -> None:
    played = play(kind, seed, starts)
    assert played.fault is None
    assert played.starts >= (5 if starts is None else starts)
    assert all(played.reached[part] for part in reaches), played.reached


def test_late_support_at_every_gap_gives_one_result() -> None:
    """Up to the gaps after which the fold has forgotten the supported cut."""
    memory = memory_cuts(LateSupport().book.network.params)
    for gap in range(memory + 3):
        attack = LateSupport()
        attack.support(gap)
        assert attack.convicts is (gap < NEAR_CARRY - 1), gap
        path, records = attack.book.fold.latest.path, attack.book.order
        full = folded(attack.book.network, records)
        for at in {BEFORE + 1, BEFORE + gap + 1}:
            assert assert_goes_on_alike(full, path[: at + 1], records) > 0
