"""Audits of the worst author: slots that nobody owes, more peers than a slot asks, epochs without a duty."""

from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.state.memory import WAITING_EPOCHS_MAX, refuse_audit
from p2pverify.testnet.world.state_size import ROW_BYTES_MAX, part_bytes
from tests.core.state.bounds.authors import audit_of, founded
from tests.support.across import GOOD, Story
from tests.support.steps import Steps, key

AUTHOR = key("author")


def flood(steps: Steps, epochs: int, *, slots: int, asked: int = 3) -> None:
    """In each epoch, audits of many slots of that epoch and of the one before the window, and never a duty."""
    for _ in range(epochs):
        epoch = steps.latest.epoch + 1
        for slot in range(slots):
            audit = audit_of(AUTHOR, epoch, slot, asked=asked, salt=f"{epoch} {slot}")
            steps.say(AUTHOR, Kind.AUDIT, audit.encode())
        steps.step()


def test_slots_that_nobody_owes_are_void_and_leave_nothing() -> None:
    steps = founded(others=[AUTHOR])
    params = steps.network.params
    flood(steps, 20, slots=256)
    state = steps.latest
    owed = -(-params.slots_milli // 1000)
    assert {slot for slots in state.audits.values() for slot in slots} == set(range(owed))
    assert len(state.audits) == WAITING_EPOCHS_MAX
    assert state.totals["void audit: slot not owed"] == 20 * (256 - owed)
    assert state.members[AUTHOR].void_audits == 20 * (256 - owed)
    assert part_bytes(state)["audits"] <= ROW_BYTES_MAX


def test_an_audit_of_more_peers_than_a_slot_asks_is_void_and_leaves_nothing() -> None:
    """Ten times the peers would be ten times the bytes."""
    steps = founded(others=[AUTHOR])
    flood(steps, 3, slots=2, asked=31)
    assert not steps.latest.audits
    assert steps.latest.totals["void audit: asked others than the drawn targets"] == 6


@pytest.mark.parametrize(("slots_milli", "owed"), [(1, 1), (1_000, 1), (1_001, 2), (16_000, 16)])
def test_the_slots_that_may_be_owed(slots_milli: int, owed: int) -> None:
    params = replace(founded().network.params, slots_milli=slots_milli)
    assert refuse_audit(audit_of(AUTHOR, 1, owed - 1), params) is None
    assert refuse_audit(audit_of(AUTHOR, 1, owed), params) == "slot not owed"


def test_audits_of_epochs_without_a_duty_are_forgotten() -> None:
    steps = founded(others=[AUTHOR])
    flood(steps, 3, slots=1)
    assert len(steps.latest.audits) == 3
    steps.run(steps.network.params.duty_epochs + 3)
    assert not steps.latest.audits


def test_after_the_duty_only_digests_are_kept() -> None:
    """They are of audits that came before the duty, and are forgotten with the duty."""
    story = Story("aaaa", across_percent=0)
    slotted = story.panel_slot(story.seeds[0], is_across=False)
    audit = replace(story.audit(slotted, ()), sealed=None)
    story.publish(audit)
    state = story.cut(12)
    assert not state.audits
    (note,) = state.duties.values()
    assert note.audits == {slotted.slot.index: sha256(audit.encode())}
    for epoch in range(13, 13 + story.network.params.duty_epochs + 2):
        story.cut(epoch)
    assert not story.latest.duties


@pytest.mark.parametrize("late", [False, True])
def test_two_audits_for_one_slot_convict_before_and_after_the_duty(late: bool) -> None:
    """After the duty the digest of the first one is enough."""
    story = Story("aaabbb")
    slotted = story.panel_slot(story.seeds[0])
    audit = story.audit(slotted, (GOOD,) * len(slotted.panel.targets))
    other = replace(audit, question=bytes(32))
    if late:
        story.publish(audit)
        story.cut(12)
        assert not story.member(story.seeds[0]).is_convicted
    else:
        story.book.say(story.seeds[0], Kind.AUDIT, audit.encode(), 11)
    story.book.say(story.seeds[0], Kind.AUDIT, other.encode(), 12)
    story.cut(13)
    assert story.member(story.seeds[0]).conviction == "two audits for one slot"


def test_the_same_audit_twice_and_an_audit_after_its_duty_convict_nobody() -> None:
    story = Story("aaabbb")
    first, second = [each for each in story.slots(story.seeds[0]) if each.panel.targets][:2]
    audit = story.audit(first, (GOOD,) * len(first.panel.targets))
    story.publish(audit)
    story.cut(12)
    story.book.say(story.seeds[0], Kind.AUDIT, audit.encode(), 12)
    late = story.audit(second, (GOOD,) * len(second.panel.targets))
    for each in (late, replace(late, question=bytes(32))):  # neither was opened, so neither is kept
        story.book.say(story.seeds[0], Kind.AUDIT, each.encode(), 12)
    story.cut(13)
    assert not story.member(story.seeds[0]).is_convicted
    assert not story.latest.audits
