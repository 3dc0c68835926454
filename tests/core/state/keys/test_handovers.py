"""Handovers in the fold: planned, lost, stolen and objected, and what they cannot be used for."""

from dataclasses import fields, replace

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.keys.handover import next_digest
from p2pverify.core.records.payloads.keys.rekey import Rekey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.keys.take import HANDOVER_SPACING, OBJECTION_TIMES, REKEY_SPACING
from p2pverify.core.state.state import Member
from tests.support.handovers import COLD_EPOCHS, Changes, join_of, keys_of, next_seed
from tests.support.networks import make_network, seeds

FOUNDERS = seeds(4, "keys")
OLD = FOUNDERS[3]
NEW = next_seed(OLD)
OLD_KEY, NEW_KEY = sign.public_key(OLD), sign.public_key(NEW)
#: The columns that a handover changes; all others of a row move as they are.
CHANGED = {
    "vrf_key",
    "box_key",
    "next_key",
    "joined_epoch",
    "joined_index",
    "seen_index",
    "handovers",
    "handed_epoch",
    "weight",
    "lost_weight_index",
    "suspended_until",
}


@pytest.fixture
def changes() -> Changes:
    return Changes(make_network(FOUNDERS, handover_epochs=COLD_EPOCHS), FOUNDERS)


def test_a_planned_handover_freezes_the_row_and_moves_it_after_the_delay(changes: Changes) -> None:
    before = changes.row(OLD)
    changes.hand_over(OLD)
    changes.cut()
    frozen = changes.row(OLD)
    assert (frozen.active, frozen.successor) == (False, NEW_KEY)
    assert NEW_KEY not in changes.latest.members
    changes.cut()
    assert changes.row(OLD).weight == 0
    changes.cuts(changes.cuts_of_delay - 2)
    assert OLD_KEY in changes.latest.members
    changes.cut()
    after = changes.row(NEW)
    assert OLD_KEY not in changes.latest.members
    found = {each.name for each in fields(Member) if getattr(after, each.name) != getattr(before, each.name)}
    assert found <= CHANGED
    assert (after.active, after.handovers, after.handed_epoch) == (True, 1, changes.epoch)
    assert (after.vrf_key, after.box_key, after.next_key) == (
        keys_of(NEW).vrf_key,
        keys_of(NEW).box_key,
        keys_of(NEW).next_key,
    )
    changes.cut()
    assert changes.row(NEW).weight == 1
    changes.cut()  # the new key signs
    assert changes.latest.moved[OLD_KEY].successor == NEW_KEY


def test_a_lost_key_is_replaced_by_the_next_one_alone_after_a_longer_time(changes: Changes) -> None:
    changes.hand_over(OLD, consent=False)
    changes.cut()
    changes.cuts(COLD_EPOCHS - 1)
    assert OLD_KEY in changes.latest.members
    changes.cut()
    assert changes.row(NEW).active


def test_time_passes_in_cuts_too(changes: Changes) -> None:
    """After a pause of the network a handover does not take effect at once: nobody could have objected."""
    changes.hand_over(OLD, consent=False)
    changes.cut()
    changes.cut(epoch=changes.epoch + 5 * COLD_EPOCHS)
    assert changes.row(OLD).successor == NEW_KEY
    changes.cuts(changes.cuts_of_delay - 1)
    assert changes.row(NEW).active


def test_whoever_has_another_key_than_the_committed_one_takes_over_nothing(changes: Changes) -> None:
    """The thief of the key of a running peer signs both sides, and has no next key."""
    thief = sha256(b"thief")
    changes.hand_over(OLD, new=thief)
    changes.cut()
    assert changes.row(OLD).successor is None
    assert changes.latest.totals["handover: author is not the next key"] == 1
    assert sign.public_key(thief) in changes.latest.dropped


def test_a_later_join_does_not_replace_the_next_key(changes: Changes) -> None:
    thief = next_digest(sign.public_key(sha256(b"thief")))
    changes.say(OLD, Kind.LEAVE, encode([]))
    changes.say(OLD, Kind.JOIN, replace(join_of(OLD), next_key=thief).encode())
    changes.cut()
    assert changes.row(OLD).next_key == next_digest(NEW_KEY)


def test_without_a_next_key_there_is_no_handover_until_a_join_names_one(changes: Changes) -> None:
    newcomer = sha256(b"newcomer")
    keys = keys_of(newcomer)
    changes.say(newcomer, Kind.JOIN, Join(0, keys.vrf_key).encode())
    changes.cut()
    changes.hand_over(newcomer)
    changes.cut()
    assert changes.row(newcomer).successor is None
    changes.say(newcomer, Kind.LEAVE, encode([]))
    changes.say(newcomer, Kind.JOIN, join_of(newcomer).encode())
    changes.cut()
    changes.hand_over(newcomer)
    changes.cut()
    assert changes.row(newcomer).successor == sign.public_key(next_seed(newcomer))


# ---------------------------------------------------------------- objections


def test_the_old_key_objects_and_the_row_goes_on_with_it(changes: Changes) -> None:
    """The next key was stolen: its thief freezes the row, and the owner ends that."""
    changes.hand_over(OLD, consent=False)
    changes.cuts(3)
    assert changes.row(OLD).weight == 0
    changes.object(OLD)
    changes.cut()
    assert (changes.row(OLD).active, changes.row(OLD).successor, changes.latest.handovers) == (True, None, {})
    changes.cuts(2)
    assert changes.row(OLD).weight == 1
    changes.hand_over(OLD, consent=False)
    changes.cut()
    assert changes.latest.totals["handover: old key objected, and did not sign"] == 1
    changes.hand_over(OLD)
    changes.cut()
    assert changes.row(OLD).successor == NEW_KEY


def test_the_holder_of_the_next_key_wins_in_the_end(changes: Changes) -> None:
    """The thief of the hot key objects, and delays the owner once."""
    changes.hand_over(OLD, consent=False)
    changes.cut()
    changes.object(OLD)
    changes.cut()
    changes.cut(epoch=changes.epoch + OBJECTION_TIMES * COLD_EPOCHS)
    changes.hand_over(OLD, consent=False)
    changes.cut()
    changes.object(OLD)
    changes.cut()
    assert changes.latest.totals["object: author has objected before"] == 1
    changes.wait(consent=False)
    assert changes.row(NEW).active
    assert changes.row(NEW).objected_until == -1


def test_an_objection_counts_against_the_handover_that_it_names_and_not_against_its_own_signature(
    changes: Changes,
) -> None:
    changes.object(OLD)
    changes.cut()
    changes.hand_over(OLD)
    changes.cut()
    changes.object(OLD)
    changes.cut()
    assert changes.latest.totals["object: no such handover"] == 1
    assert changes.latest.totals["object: author signed the handover"] == 1
    assert changes.row(OLD).successor == NEW_KEY


# ---------------------------------------------------------------- two at once, and again


def test_a_second_handover_counts_only_if_it_brings_the_signature(changes: Changes) -> None:
    changes.hand_over(OLD, consent=False)
    changes.cut()
    changes.hand_over(OLD, consent=False)
    changes.cut()
    assert changes.latest.totals["handover: it is under way"] == 1
    changes.hand_over(OLD)
    changes.cut()
    assert changes.latest.handovers[OLD_KEY].is_signed
    changes.wait()
    assert changes.row(NEW).active


def test_one_key_takes_over_one_row(changes: Changes) -> None:
    """Two rows that commit to one key."""
    both = [sha256(b"twin %d" % number) for number in range(2)]
    shared = sha256(b"shared")
    for seed in both:
        said = replace(join_of(seed), next_key=next_digest(sign.public_key(shared)))
        changes.say(seed, Kind.JOIN, said.encode())
    changes.cut()
    for seed in both:
        changes.hand_over(seed, new=shared)
        changes.cut()
    assert [changes.row(seed).successor is not None for seed in both] == [True, False]
    assert changes.latest.totals["handover: author takes over another row"] == 1


def test_a_member_takes_over_no_row_and_a_waiting_key_does_not_join(changes: Changes) -> None:
    changes.say(NEW, Kind.JOIN, join_of(NEW).encode())
    changes.cut()
    changes.hand_over(OLD)
    changes.cut()
    assert changes.latest.totals["handover: author is or was a member"] == 1
    other = FOUNDERS[2]
    changes.hand_over(other)
    changes.cut()
    changes.say(next_seed(other), Kind.JOIN, join_of(next_seed(other)).encode())
    changes.cut()
    assert sign.public_key(next_seed(other)) not in changes.latest.members
    assert changes.latest.totals["join: author waits for the row of another key"] == 1


def test_a_row_moves_once_in_4096_epochs(changes: Changes) -> None:
    changes.hand_over(OLD)
    changes.cut()
    changes.wait()
    moved = changes.epoch
    changes.hand_over(NEW)
    changes.cut()
    assert changes.latest.totals["handover: old key was handed over lately"] == 1
    changes.cut(epoch=moved + HANDOVER_SPACING - 2)
    changes.hand_over(NEW)
    changes.cut()
    assert changes.latest.totals["handover: old key was handed over lately"] == 2
    changes.hand_over(NEW)
    changes.cut()
    assert changes.row(NEW).successor == sign.public_key(next_seed(NEW))


def test_the_head_must_be_one_of_the_newest_certified_ones(changes: Changes) -> None:
    _, seq, _ = changes.head(OLD)
    changes.hand_over(OLD, head=(seq, sha256(b"another record")))
    changes.cut()
    assert changes.latest.totals["handover: head is not in the newest cuts"] == 1
    early = changes.head(OLD)
    changes.cuts(4)
    changes.hand_over(OLD, head=early[1:])
    changes.cut()
    assert changes.latest.totals["handover: head is not in the newest cuts"] == 2
    recent = changes.head(OLD)
    changes.cuts(2)
    changes.hand_over(OLD, head=recent[1:])
    changes.cut()
    assert changes.row(OLD).successor == NEW_KEY


# ---------------------------------------------------------------- the old log


def test_records_above_the_named_head_count_for_nothing(changes: Changes) -> None:
    changes.hand_over(OLD)
    changes.say(OLD, Kind.LEAVE, encode([]))
    changes.cut()
    assert changes.latest.totals["records of a key after its handover"] == 1
    changes.wait()
    assert changes.row(NEW).active  # the leave did not count
    changes.say(OLD, Kind.JOIN, join_of(OLD).encode())
    changes.cut()
    assert OLD_KEY not in changes.latest.members


def test_a_rekey_counts_once_in_1024_epochs(changes: Changes) -> None:
    first, second = (keys_of(sha256(b"%d" % number)).vrf_key for number in range(2))
    changes.say(OLD, Kind.REKEY, Rekey(first).encode())
    changes.cut()
    assert (changes.row(OLD).vrf_key, changes.row(OLD).rekeyed_epoch) == (first, changes.epoch)
    since = changes.epoch
    changes.say(OLD, Kind.REKEY, Rekey(second).encode())
    changes.cut(epoch=since + REKEY_SPACING - 1)
    assert changes.row(OLD).vrf_key == first
    assert changes.latest.totals["rekey: author changed its key lately"] == 1
    changes.say(OLD, Kind.REKEY, Rekey(second).encode())
    changes.cut()
    assert changes.row(OLD).vrf_key == second
    stranger = sha256(b"stranger")
    changes.say(stranger, Kind.JOIN, join_of(stranger).encode())
    changes.say(stranger, Kind.LEAVE, encode([]))
    changes.say(stranger, Kind.REKEY, Rekey(first).encode())
    changes.cut()
    assert changes.latest.totals["rekey: author is no active member"] == 1
