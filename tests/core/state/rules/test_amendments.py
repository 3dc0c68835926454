"""Amendments in the fold: who opens them, what approves them, when they take effect, and what bounds them."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.rules.changes import ClassChange, RetireChange, UnknownChange
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.amendment import Word
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.memory import memory_cuts
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.rules.notes import newest
from p2pverify.core.state.rules.take import OPEN_AMENDMENTS_MAX, PLACE_EPOCHS, RETIRED_MEMORIES, VETO_MS, shares
from p2pverify.core.state.transition import reach_of
from tests.support.amending import AmendedSteps, amendment, param
from tests.support.networks import MANIFEST
from tests.support.steps import BOX_KEY, VRF_KEY, key

SLOTS = param("slots_milli", 2_000)


def total(steps: AmendedSteps, name: str) -> int:
    return steps.latest.totals.get(name, 0)


def test_an_amendment_takes_effect_after_its_notice() -> None:
    steps = AmendedSteps(6, notice=4)
    found = steps.propose_rules(0, SLOTS)
    steps.step()
    steps.words(found, Word.YES, (1, 2))
    steps.step()
    assert steps.latest.amendments[found.id].starts == -1  # three of six
    steps.words(found, Word.YES, (3,))
    approved = steps.step().epoch
    assert steps.latest.amendments[found.id].starts == approved + 4
    for _ in range(3):
        assert steps.step().rules == {}
    state = steps.step()
    assert state.epoch == approved + 4
    assert state.rules_in(steps.network).params.slots_milli == 2_000
    assert state.rules_in(steps.network).id == steps.network.id
    assert state.amendments == {}
    assert total(steps, "amendments in force") == 1
    assert state.past_of(steps.latest.path[-2]).rules_in(steps.network).params.slots_milli == 1_000


def test_a_later_activation_and_a_late_cut() -> None:
    """It takes effect with the first cut that is late enough, whatever its epoch."""
    steps = AmendedSteps(3, notice=2)
    found = steps.propose_rules(0, SLOTS, activation=20, expiry=30)
    steps.step()
    steps.words(found, Word.YES, (1, 2))
    steps.step()
    assert steps.latest.amendments[found.id].starts == 20
    steps.step(epoch=19)
    assert not steps.latest.rules
    assert steps.step(epoch=27).rules
    rules = newest(steps.latest.rules)
    assert rules is not None
    assert rules.since == 27


def test_it_can_be_withdrawn_until_the_last_cut() -> None:
    steps = AmendedSteps(6, notice=3)
    found = steps.propose_rules(0, SLOTS)
    steps.words(found, Word.YES, (1, 2, 3))
    steps.step()
    starts = steps.latest.amendments[found.id].starts
    while steps.latest.epoch < starts - 2:
        steps.step()
    steps.words(found, Word.NO, (3,))
    assert steps.step().epoch == starts - 1
    assert steps.step().epoch == starts
    assert not steps.latest.rules
    assert steps.latest.amendments[found.id].starts == -1
    # Approved again, its notice begins again.
    steps.words(found, Word.YES, (4,))
    assert steps.step().amendments[found.id].starts == steps.latest.epoch + 3


def test_a_withdrawal_in_the_cut_itself_comes_too_late() -> None:
    steps = AmendedSteps(6, notice=2)
    found = steps.propose_rules(0, SLOTS)
    steps.words(found, Word.YES, (1, 2, 3))
    steps.step()
    steps.step()
    steps.words(found, Word.NO, (1, 2, 3))
    assert steps.step().rules
    assert total(steps, "approval: no such amendment is open") == 3


def test_the_author_closes_what_nobody_else_wants() -> None:
    steps = AmendedSteps(3)
    found = steps.propose_rules(0, SLOTS)
    steps.step()
    steps.words(found, Word.NO, (0,))
    assert not steps.step().amendments
    steps.propose_rules(0, param("slots_milli", 1_500))
    assert len(steps.step().amendments) == 1


def test_it_expires_unless_it_is_approved() -> None:
    steps = AmendedSteps(3, notice=8)
    one = steps.propose_rules(0, SLOTS, expiry=steps.latest.epoch + 4)
    two = steps.propose_rules(1, param("panel_size", 3), expiry=steps.latest.epoch + 4)
    steps.words(two, Word.YES, (0, 2))
    steps.step()
    steps.run(4)
    assert one.id not in steps.latest.amendments
    assert two.id in steps.latest.amendments  # its notice lasts longer than it is open
    steps.run(5)
    assert steps.latest.rules_in(steps.network).params.panel_size == 3


def test_founders_have_a_veto_that_fades() -> None:
    steps = AmendedSteps(6)
    found = steps.propose_rules(0, SLOTS)
    steps.step()
    note = steps.latest.amendments[found.id]
    for each in steps.keys[3:]:
        steps.latest.members[each].founder = False  # bought later; three founders are left
    half = {name: needs for name, _, needs in shares(steps.network, steps.latest, note)}
    assert half == {"weight": 4, "founders": 2}
    veto = VETO_MS // steps.network.params.epoch_ms
    needed = []
    for epoch in (0, veto // 3, 2 * veto // 3 + 1, veto - 1, veto, veto + 9):
        steps.latest.epoch = epoch
        needed.append(shares(steps.network, steps.latest, note)[1][2])
    assert needed == [2, 1, 1, 1, 0, 0]
    bought = replace(note, approved_by=frozenset(steps.keys[2:]))  # two thirds, one founder among them
    steps.latest.epoch = 1
    assert [has >= needs for _, has, needs in shares(steps.network, steps.latest, bought)] == [True, False]


def test_features_need_two_thirds_that_can_run_them() -> None:
    steps = AmendedSteps(6)
    found = steps.propose_rules(0, features=1 << 7)
    steps.words(found, Word.YES, range(1, 6))
    steps.words(found, Word.READY, range(3))
    assert steps.step().amendments[found.id].starts == -1
    steps.words(found, Word.READY, (3,))
    assert steps.step().amendments[found.id].starts == steps.latest.epoch + 4


def test_an_old_program_stops_before_the_cut_that_it_cannot_compute() -> None:
    steps = AmendedSteps(3)
    found = steps.propose_rules(0, UnknownChange(("curve", 9)), features=1 << 7)
    steps.words(found, Word.YES, (1, 2))
    steps.words(found, Word.READY, (0, 1, 2))
    steps.step()
    starts = steps.latest.amendments[found.id].starts
    old, newer = Following(), Following(known=1 << 7)
    assert old.halt(steps.network, steps.latest, starts - 1) is None
    halt = old.halt(steps.network, steps.latest, starts)
    assert halt is not None
    assert halt.amendment == found.id
    assert str(halt) == f"needs feature 7 since cut {steps.latest.id.hex()[:16]}"
    assert "knows the change 'curve'" in str(newer.halt(steps.network, steps.latest, starts))
    assert not old.is_ready_for(steps.network, steps.latest, steps.latest.amendments[found.id].amendment)


def test_rules_with_an_unknown_feature_stop_a_program_that_begins_with_them() -> None:
    steps = AmendedSteps(3)
    state = steps.enact(features=1 << 7)
    assert "needs feature 7" in str(Following().halt(steps.network, state, state.epoch))
    assert Following(known=1 << 7).halt(steps.network, state, state.epoch) is None


def test_with_ask_the_operator_accepts_first() -> None:
    steps = AmendedSteps(3)
    found = steps.propose_rules(0, SLOTS)
    steps.words(found, Word.YES, (1, 2))
    steps.step()
    starts = steps.latest.amendments[found.id].starts
    asking = Following(asks=True)
    assert f"network accept {found.id.hex()[:16]}" in str(asking.halt(steps.network, steps.latest, starts))
    assert Following(asks=True, accepted={found.id}).halt(steps.network, steps.latest, starts) is None
    assert Following().halt(steps.network, steps.latest, starts) is None


def test_an_amendment_with_features_whose_changes_do_not_hold_is_dropped() -> None:
    """Programs that cannot read a change cannot judge it, so such an amendment opens; then it changes nothing."""
    steps = AmendedSteps(3, notice=2)
    steps.propose_rules(1, param("panel_size", 31))
    assert not steps.step().amendments
    assert total(steps, "amendment: its changes are not allowed") == 1
    found = steps.propose_rules(0, param("panel_size", 31), features=1)
    steps.words(found, Word.YES, (1, 2))
    steps.words(found, Word.READY, (0, 1, 2))  # an honest program says this of no such amendment
    steps.run(3)
    assert not steps.latest.rules
    assert not steps.latest.amendments
    assert total(steps, "amendments that did not hold") == 1
    assert Following(known=1).halt(steps.network, steps.latest, steps.latest.epoch) is None


def test_one_takes_effect_and_the_others_close() -> None:
    steps = AmendedSteps(3, notice=2)
    one, two = steps.propose_rules(0, SLOTS), steps.propose_rules(1, param("panel_size", 3))
    steps.words(one, Word.YES, (1, 2))
    steps.words(two, Word.YES, (0, 2))
    steps.run(3)
    assert len(steps.latest.rules) == 1
    assert not steps.latest.amendments
    rules = newest(steps.latest.rules)
    assert rules is not None
    assert rules.amendment == min(one.id, two.id)
    stale = amendment(steps, SLOTS)
    steps.say(steps.keys[2], Kind.AMENDMENT, replace(stale, rules=bytes(32)).encode())
    steps.step()
    assert total(steps, "amendment: it is about other rules") == 1


def test_a_bomb_of_amendments_is_bounded() -> None:
    """One a member and four in all. After a day those with the fewest approvals make place for others."""
    steps = AmendedSteps(7)
    stranger = key("stranger")
    steps.join(stranger)
    steps.say(stranger, Kind.AMENDMENT, amendment(steps, SLOTS).encode())
    long = steps.latest.epoch + 2 * PLACE_EPOCHS
    for author in range(6):
        for value in range(1_001, 1_009):
            steps.propose_rules(author, param("slots_milli", value), expiry=long)
    state = steps.step()
    assert len(state.amendments) == OPEN_AMENDMENTS_MAX
    assert total(steps, "amendment: author has no weight") == 1
    assert total(steps, "amendment: author has an open one") == 4 * 7
    assert total(steps, "amendment: too many are open") == 2 * 8
    wanted = min(state.amendments)
    steps.say(steps.keys[6], Kind.APPROVAL, bytes.fromhex("82") + b"\x58\x20" + wanted + b"\x01")
    steps.step()
    steps.propose_rules(6, SLOTS, expiry=long)
    steps.step()
    assert total(steps, "amendment: too many are open") == 2 * 8 + 1
    later = steps.step(epoch=state.epoch + PLACE_EPOCHS)
    honest = steps.propose_rules(6, SLOTS, expiry=long)
    after = steps.step()
    assert wanted in after.amendments
    assert honest.id in after.amendments
    assert len(after.amendments) == OPEN_AMENDMENTS_MAX
    assert len(later.amendments.keys() - after.amendments.keys()) == 1


def test_a_class_is_appended_and_another_one_retired() -> None:
    steps = AmendedSteps(3)
    early = key("early")
    steps.say(early, Kind.JOIN, Join(1, VRF_KEY, "", BOX_KEY).encode())
    steps.step()
    assert total(steps, "join: no such class") == 1
    assert early not in steps.latest.members
    kind = DeterminismClass("later", MANIFEST.digest, "toy", "later path", 1_000)
    steps.enact(ClassChange(kind), RetireChange(0))
    late, old = key("late"), key("old")
    steps.say(late, Kind.JOIN, Join(1, VRF_KEY, "", BOX_KEY).encode())
    steps.say(old, Kind.JOIN, Join(0, VRF_KEY, "", BOX_KEY).encode())
    state = steps.step()
    assert state.members[late].class_index == 1
    assert old not in state.members
    assert total(steps, "join: class is retired") == 1
    wait = RETIRED_MEMORIES * memory_cuts(reach_of(state.rules_in(steps.network), state))
    rules = newest(state.rules)
    assert rules is not None
    steps.step(epoch=rules.since + wait - 1)
    assert all(steps.latest.members[each].active for each in steps.keys)
    steps.step()
    assert not any(steps.latest.members[each].active for each in steps.keys)
    assert steps.latest.members[late].active


def test_a_shorter_deadline_begins_after_the_longer_one_has_passed() -> None:
    steps = AmendedSteps(3, notice=1)
    before = memory_cuts(steps.network.params)
    state = steps.enact(param("duty_epochs", 4), param("dispute_epochs", 8))
    assert reach_of(state.rules_in(steps.network), state).duty_epochs == 8
    steps.run(before + 7)
    assert reach_of(steps.latest.rules_in(steps.network), steps.latest).duty_epochs == 8
    steps.run(1)
    assert reach_of(steps.latest.rules_in(steps.network), steps.latest).duty_epochs == 4
    assert len(steps.latest.past) > memory_cuts(steps.latest.rules_in(steps.network).params)
    steps.run(1)
    assert len(steps.latest.past) <= memory_cuts(steps.latest.rules_in(steps.network).params) + 9


@pytest.mark.parametrize("epochs", [4, 16])
def test_no_epoch_is_counted_as_missed_twice(epochs: int) -> None:
    """Members that never show a duty miss each epoch once, whether the deadline grows or shrinks."""
    steps = AmendedSteps(3, notice=1)

    def cut() -> None:
        steps.certify(steps.keys[0], steps.keys)

    for _ in range(30):
        cut()
    found = steps.propose_rules(0, param("duty_epochs", epochs))
    steps.words(found, Word.YES, (1, 2))
    for _ in range(100):
        cut()
    assert steps.latest.rules
    missed = steps.latest.members[steps.keys[0]].missed_duties
    oldest = steps.latest.epoch - steps.latest.rules_in(steps.network).params.duty_reach
    assert missed <= oldest
    assert missed >= oldest - 24  # epochs before the join, and those between the two deadlines
