"""A constant total of audits: one duty covers a period of epochs, and its slots are owed by odds."""

from collections.abc import Iterable

import pytest

from p2pverify.core.contract.network import PERIOD_MAX
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.state.verdicts.targets import covered_epochs
from tests.support.across import CUT_EPOCH, GOOD, Slotted, Story

#: A total of one audit an epoch among twelve members: periods of eight epochs.
MEMBERS = "a" * 12
LONGEST = 8


def rated(**changes: int) -> Story:
    return Story(MEMBERS, across_percent=0, audits_per_epoch=1, slots_milli=2_000, anchor_window=16, **changes)


def length(story: Story, seed: bytes, epoch: int) -> int:
    return covered_epochs(story.network.params, story.anchor, sign.public_key(seed), epoch)


def first_epoch(story: Story, seed: bytes) -> int:
    """The first epoch with a period of full length."""
    after = story.anchor.epoch + 1
    return next(at for at in range(after, after + LONGEST) if length(story, seed, at) == LONGEST)


def owing(story: Story) -> tuple[Slotted, int]:
    """A slot that a member owes in a period, and the last epoch of the period."""
    periods = ((seed, first_epoch(story, seed)) for seed in story.seeds)
    each = next(slot for seed, at in periods for slot in story.slots(seed, at) if slot.panel.targets)
    return each, each.epoch + LONGEST - 1


def reveal(story: Story, seed: bytes, epoch: int, said: int) -> Record:
    vrf_key = vrf.public_key(vrf.derive_seed(seed))
    duty = Duty(epoch, story.anchor.id, story.anchor.beacon, vrf_key, story.proof(seed, epoch), ())
    return story.book.say(seed, Kind.DUTY, duty.encode(), said)


def run(story: Story, epochs: Iterable[int]) -> None:
    for epoch in epochs:
        story.cut(epoch)


def test_a_duty_counts_for_each_epoch_of_its_period() -> None:
    """A hidden slot is a no-show, and a shown one is none."""
    story = rated()
    slotted, last = owing(story)
    owed = len(story.slots(slotted.challenger, slotted.epoch))
    audit = story.audit(slotted, (GOOD,) * len(slotted.panel.targets), differ=True)
    story.book.say(slotted.challenger, Kind.AUDIT, audit.encode(), slotted.epoch)
    reveal(story, slotted.challenger, slotted.epoch, last + 1)
    story.cut(last + 1)
    shown = story.member(slotted.challenger)
    assert (shown.duties_met, shown.slots_owed, shown.no_shows) == (LONGEST, owed, owed - 1)

    hidden = rated()
    reveal(hidden, slotted.challenger, slotted.epoch, last + 1)
    hidden.cut(last + 1)
    assert hidden.member(slotted.challenger).no_shows == owed


def test_epochs_without_a_duty_are_missed_once_no_period_can_cover_them() -> None:
    """A member that shows nothing misses every epoch. One that shows its period misses none of it."""
    story = rated()
    seed, other = story.seeds[:2]
    reach = story.network.params.duty_reach
    assert reach == story.network.params.duty_epochs + PERIOD_MAX - 1
    run(story, range(CUT_EPOCH + 1, 30))
    story.anchor = story.cut(30)
    first = first_epoch(story, seed)
    run(story, range(31, first + LONGEST))
    reveal(story, seed, first, first + LONGEST)
    run(story, range(first + LONGEST, first + reach + 1))
    before = story.member(other).missed_duties
    assert story.member(seed).missed_duties == before  # both showed nothing of the epochs before
    run(story, range(first + reach + 1, first + reach + LONGEST + 1))
    assert story.member(other).missed_duties == before + LONGEST
    assert story.member(seed).missed_duties == before
    story.cut(first + reach + LONGEST + 1)
    assert story.member(seed).missed_duties == before + 1


def test_a_period_is_not_revealed_before_its_end() -> None:
    """Its remaining questions would be known."""
    story = rated()
    seed = story.seeds[0]
    first = first_epoch(story, seed)
    reveal(story, seed, first, first + LONGEST - 1)
    state = story.cut(first + LONGEST - 1)
    assert state.totals["duty: revealed before its period ended"] == 1
    assert story.member(seed).duties_met == 0
    assert not state.duties


def test_a_duty_is_late_after_the_last_epoch_of_its_period() -> None:
    in_time, late = rated(), rated()
    seed = late.seeds[0]
    first = first_epoch(late, seed)
    end = first + LONGEST - 1 + late.network.params.duty_epochs
    reveal(in_time, seed, first, end)
    assert in_time.cut(end).members[sign.public_key(seed)].duties_met == LONGEST
    reveal(late, seed, first, end + 1)
    assert late.cut(end + 1).totals["duty: too late"] == 1


def test_no_epoch_is_drawn_twice() -> None:
    """A period that reaches into another one has no effect, and another duty inside of one convicts."""
    story = rated()
    seed = story.seeds[0]
    first = first_epoch(story, seed)
    inside = first + LONGEST // 2
    reveal(story, seed, inside, first + LONGEST)
    story.cut(first + LONGEST)
    assert story.member(seed).duties_met == LONGEST // 2
    reveal(story, seed, first, first + LONGEST)
    state = story.cut(first + LONGEST + 1)
    assert state.totals["duty: covers an epoch of another duty"] == 1
    assert not story.member(seed).is_convicted

    twice = rated()
    reveal(twice, seed, first, first + LONGEST)
    reveal(twice, seed, inside, first + LONGEST)
    twice.cut(first + LONGEST)
    assert twice.member(seed).conviction == "two duties for one epoch"


@pytest.mark.parametrize("total", [0, 24])
def test_where_all_slots_are_owed_a_duty_covers_one_epoch(total: int) -> None:
    """Without a total, and with one that the members do not reach."""
    story = Story(MEMBERS, across_percent=0, audits_per_epoch=total, slots_milli=2_000)
    for epoch in range(CUT_EPOCH + 1, CUT_EPOCH + 5):
        assert [slot.slot.index for slot in story.slots(story.seeds[0], epoch)] == [0, 1]
        assert length(story, story.seeds[0], epoch) == 1
