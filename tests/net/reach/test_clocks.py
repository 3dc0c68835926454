"""The median of what other peers tell of their clocks."""

import trio
from trio.testing import MockClock

from p2pverify.net.reach.clocks import FRESH_SECONDS, GROUPS_KEPT, PeerClocks


async def test_less_than_half_of_the_groups_move_nothing(autojump_clock: MockClock) -> None:
    """Two of five lie as much as they can. The median is that of an honest one."""
    clocks = PeerClocks()
    assert clocks.report() == (0, None)
    for group, ahead_ms in enumerate([-30, 2**53, 10, -(2**53), 20]):
        clocks.note(f"group {group}", ahead_ms)
    assert clocks.report() == (5, 10)


async def test_a_group_counts_once_by_its_newest_word(autojump_clock: MockClock) -> None:
    clocks = PeerClocks()
    for ahead_ms in (1, 2, 3):
        clocks.note("one", ahead_ms)
    clocks.note("other", 9)
    assert clocks.report() == (2, 3)


async def test_old_words_are_forgotten(autojump_clock: MockClock) -> None:
    """Each after some time, and the oldest when there are too many."""
    clocks = PeerClocks()
    clocks.note("old", 500)
    await trio.sleep(FRESH_SECONDS + 1)
    assert clocks.report() == (0, None)
    for group in range(3 * GROUPS_KEPT):
        clocks.note(str(group), group)
    assert clocks.report()[0] == GROUPS_KEPT
