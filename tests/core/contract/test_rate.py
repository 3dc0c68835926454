"""Odds of slots with a total of audits, and the periods that a duty covers."""

from dataclasses import replace
from itertools import pairwise

import pytest

from p2pverify.core.contract import sortition
from p2pverify.core.contract.network import PERIOD_MAX, decode_network
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError
from tests.support.networks import make_network, params, seeds

AUTHORS = [bytes([number]) * 32 for number in range(20)]


@pytest.mark.parametrize(("members", "total"), [(10, 5), (40, 10), (1_000, 200), (20_000, 200)])
@pytest.mark.parametrize("slots_milli", [400, 1_500, 2_000])
def test_all_members_together_owe_the_total(members: int, total: int, slots_milli: int) -> None:
    rated = params(audits_per_epoch=total, slots_milli=slots_milli)
    draws, epochs = 2_000, sortition.longest_period(members, rated)
    owed = sum(len(sortition.slots(sha256(b"%d" % n), rated, epochs=epochs, members=members)) for n in range(draws))
    expected = draws * epochs * min(total / members, slots_milli / 1_000)
    assert abs(owed - expected) < 5 * expected**0.5


def test_a_total_that_members_do_not_reach_leaves_all_slots() -> None:
    rated = params(audits_per_epoch=200, slots_milli=2_000)
    found = sortition.slots(sha256(b"x"), rated, epochs=1, members=100)
    assert [slot.index for slot in found] == [0, 1]


def test_slots_without_a_total_do_not_depend_on_members() -> None:
    usual = params(slots_milli=2_500)
    for beta in (sha256(b"%d" % n) for n in range(50)):
        assert sortition.slots(beta, usual) == sortition.slots(beta, usual, epochs=1, members=7)


def test_slots_of_later_epochs_are_asked_later() -> None:
    rated = params(audits_per_epoch=1, slots_milli=2_000)
    for index in range(32):
        due_ms = sortition.slot_at(sha256(b"x"), index, rated).due_ms(48, rated)
        assert rated.epoch_at(due_ms) == 48 + index // 2


@pytest.mark.parametrize(
    ("members", "longest"), [(1, 1), (199, 1), (200, 1), (399, 1), (400, 2), (1_000, 4), (3_200, 16), (10**6, 16)]
)
def test_a_period_is_as_long_as_few_slots_are_owed(members: int, longest: int) -> None:
    rated = params(audits_per_epoch=200)
    assert sortition.longest_period(members, rated) == longest
    assert sortition.longest_period(members, params()) == 1
    for author in AUTHORS:
        starts = [0]
        while starts[-1] < 100:
            starts.append(starts[-1] + sortition.period_epochs(author, starts[-1], members, rated))
        lengths = [later - at for at, later in pairwise(starts)]
        assert all(length == longest for length in lengths[PERIOD_MAX:])
        assert max(lengths) == longest


def test_periods_of_members_end_at_different_epochs() -> None:
    """Otherwise all duties of a network would come at once."""
    rated = params(audits_per_epoch=1)
    ends = {at for author in AUTHORS for at in range(16) if sortition.period_epochs(author, at, 10**6, rated) == 16}
    assert ends == set(range(16))


def test_the_total_is_an_optional_item() -> None:
    usual = make_network(seeds(3))
    rated = replace(usual, params=replace(usual.params, audits_per_epoch=200))
    assert decode_network(rated.encode()) == rated
    assert decode_network(usual.encode()) == usual
    value = usual.to_value()
    value[5] = [*value[5], 0]  # type: ignore[misc]  # a list of numbers
    with pytest.raises(DecodeError, match="audits_per_epoch is 0"):
        decode_network(encode(value))
