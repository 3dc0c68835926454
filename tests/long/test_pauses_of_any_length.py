"""Pauses of up to 400 epochs, which take some time to play. That is longer than any part of a state is remembered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.testnet.world.test_pauses import KINDS, PAUSES, play


@settings(max_examples=10)
@given(
    what=st.sampled_from(PAUSES),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 16),
    before=st.integers(1, 12),
    epochs=st.one_of(st.integers(1, 100), st.integers(100, 400)),
)
def test_cuts_go_on_after_a_pause(what: str, kind: str, seed: int, before: int, epochs: int) -> None:
    """A cut is final within three epochs of the quorum's return, with open joins, disputes and forks."""
    play(what, kind, seed, before, epochs)


@pytest.mark.parametrize(("what", "kind"), list(zip(PAUSES, ("slanderer", "forker", "slanderer"), strict=True)))
def test_a_pause_that_outlasts_all_memory(what: str, kind: str) -> None:
    play(what, kind, 2, 9, 400)
