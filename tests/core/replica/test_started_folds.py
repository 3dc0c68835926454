"""A fold that starts from the bytes of a few states gives the states, faults and certified cuts of a whole fold.

More worlds and every start: tests/simulation/test_started_folds.py.
"""

from collections.abc import Callable
from functools import cache

import pytest

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Record
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.testnet.world import World
from tests.support.cited_beside import BELOW, CitedBeside
from tests.support.late_support import BEFORE, LateSupport
from tests.support.started import WatchedFold, assert_goes_on_alike, folded
from tests.support.worlds import make_world

KINDS = {0: "always-wrong", 1: "equivocator", 2: "double-signer", 3: "hostile-proposer", 4: "forker"}


def hostile() -> World:
    world = make_world(11, seed=5, kinds=KINDS, spot_check_permille=500)
    world.run_epochs(14)
    return world


def parted() -> World:
    """Two halves without a quorum meet again, and then one that has it leaves some behind."""
    world = make_world(7, seed=2, kinds={0: "double-signer"})
    world.run_epochs(4)
    for part in (range(4), range(2)):
        world.links.split(dict.fromkeys(part, 1), world.peers)
        world.run_epochs(4)
        world.links.heal()
        world.run_epochs(4)
    return world


@cache
def told(make: Callable[[], World]) -> tuple[Network, list[Record], WatchedFold]:
    """The records of a world in the order of their epochs, and the fold of all of them."""
    world = make()
    ledger = world.honest[-1].machine.context.ledger
    records = sorted(ledger.records(), key=lambda record: (record.epoch, record.author, record.seq))
    return world.network, records, folded(world.network, records)


@pytest.mark.parametrize("make", [hostile, parted])
@pytest.mark.parametrize("share", [25, 60])
def test_a_fold_of_read_states_goes_on_like_a_whole_one(make: Callable[[], World], share: int) -> None:
    _, records, full = told(make)
    path = full.latest.path
    at = 5 + (len(path) - 6) * share // 100
    assert assert_goes_on_alike(full, path[:at], records) >= len(path) - at


@pytest.mark.parametrize("gap", [0, 2, 3, 12])
def test_support_that_comes_late_counts_for_all_or_for_nobody(gap: int) -> None:
    """It counts while the base of the supported cut is one of the newest four, whether a peer has older records or
    not."""
    attack = LateSupport()
    attack.support(gap)
    assert attack.convicts is (gap < NEAR_CARRY - 1)
    records, path = attack.book.order, attack.book.fold.latest.path
    full = folded(attack.book.network, records)
    for at in {BEFORE, BEFORE + gap, BEFORE + gap + 1} | ({BEFORE + gap // 2} if gap > 3 else set()):
        assert assert_goes_on_alike(full, path[: at + 1], records) >= gap + BEFORE + 3 - at


@pytest.mark.parametrize("gap", [0, 5, 6])
def test_what_cites_a_cut_beside_the_path_counts_for_all_or_for_nobody(gap: int) -> None:
    """Its anchor is a certified cut that the path contains and did not go on from. Six cuts later the duty is too late.

    A fold that starts above that cut knows it from the state alone.
    """
    story = CitedBeside()
    before = story.duties_met
    story.cite(gap)
    assert story.duties_met == before + (gap < 6)
    records, path = story.book.order, story.book.fold.latest.path
    full = folded(story.book.network, records)
    for at in range(BELOW + 1, len(path) - 1):
        assert assert_goes_on_alike(full, path[: at + 1], records) >= len(path) - at - 1
