"""What a handover cannot be used for: to shed what the old key did, or to convict the owner later."""

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import Cut
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.books import Account, Books, Claim, account_rows
from p2pverify.core.settle.posting import Posting
from p2pverify.core.state.keys.move import renamed, with_key
from tests.core.state.bounds.authors import conflict_of
from tests.support.handovers import COLD_EPOCHS, Changes, join_of, next_seed
from tests.support.lines import with_line
from tests.support.money import TARIFF, cheque_of, with_tariff
from tests.support.networks import make_network, seeds
from tests.support.started import assert_goes_on_alike, folded

FOUNDERS = seeds(4, "keys")
OLD, ACCUSER = FOUNDERS[3], FOUNDERS[0]
NEW = next_seed(OLD)
OLD_KEY, NEW_KEY = sign.public_key(OLD), sign.public_key(NEW)


@pytest.fixture
def changes() -> Changes:
    return Changes(make_network(FOUNDERS, handover_epochs=COLD_EPOCHS), FOUNDERS)


def accuse(changes: Changes, seq: int) -> None:
    changes.say(ACCUSER, Kind.CONFLICT, conflict_of(changes.network.id, OLD_KEY, seq))


def test_a_fork_from_before_the_handover_keeps_its_penalty(changes: Changes) -> None:
    """The owner forks its log, hands over, and is proved wrong meanwhile."""
    changes.hand_over(OLD)
    changes.cut()
    accuse(changes, 0)
    changes.cut()
    until = changes.row(OLD).fork_until
    assert until == changes.epoch + changes.network.params.fork_epochs
    changes.wait()
    assert changes.row(NEW).fork_until == until
    changes.cuts(3)
    assert changes.row(NEW).weight == 0
    assert changes.latest.is_forked(OLD_KEY, 0)


def test_a_newcomer_that_forked_its_log_earns_its_weight_anew(changes: Changes) -> None:
    """Only founders get their weight back after a fork. A handover does not change that."""
    changes.latest.members[OLD_KEY].founder = False
    changes.hand_over(OLD)
    changes.cuts(2)
    accuse(changes, 0)
    changes.wait()
    changes.cut(epoch=changes.epoch + changes.network.params.fork_epochs)
    changes.cuts(3)
    assert (changes.row(NEW).weight, changes.row(NEW).suspended_until) == (0, -1)


def test_what_the_old_key_does_after_the_handover_has_no_penalty(changes: Changes) -> None:
    """The thief of the old key forks its log, and signs proposals that exclude each other."""
    changes.hand_over(OLD)
    changes.cut()
    _, seq, _ = changes.head(OLD)
    named = changes.latest.handovers[OLD_KEY].seq
    accuse(changes, max(seq, named) + 1)
    base = changes.latest.id
    for salt in (b"one", b"two"):
        root = sign.public_key(salt * 10 + b"!!")
        cut = Cut(changes.epoch, base, bytes(32), bytes(80), (), root, root, root)
        changes.say(OLD, Kind.CUT, cut.encode())
    changes.cut()
    row = changes.row(OLD)
    assert (row.fork_until, row.is_convicted) == (-1, False)
    changes.wait()
    changes.cut()
    assert changes.row(NEW).weight == 1


def test_whoever_finds_the_old_key_later_convicts_nobody(changes: Changes) -> None:
    changes.hand_over(OLD)
    changes.cut()
    changes.wait()
    accuse(changes, 0)
    accuse(changes, 1)
    changes.say(OLD, Kind.JOIN, join_of(OLD).encode())
    changes.cut()
    assert (changes.row(NEW).fork_until, changes.latest.convicted) == (-1, frozenset())
    assert changes.latest.moved[OLD_KEY].forks == {0, 1}
    assert OLD_KEY not in changes.latest.members


def test_a_conviction_moves_with_the_row(changes: Changes) -> None:
    changes.hand_over(OLD)
    changes.cut()
    state = changes.latest
    state.convict(OLD_KEY, "lost disputes")
    changes.wait()
    assert changes.latest.convicted == {NEW_KEY}
    assert changes.row(NEW).conviction == "lost disputes"
    changes.hand_over(NEW)
    changes.cut()
    assert changes.latest.totals["handover: old key is no member, or convicted"] == 1


def test_one_that_left_stays_gone_and_its_weight_does_not_come_back(changes: Changes) -> None:
    changes.say(OLD, Kind.LEAVE, encode([]))
    changes.cuts(2)
    changes.hand_over(OLD)
    changes.cut()
    changes.wait()
    changes.cut()
    assert (changes.row(NEW).active, changes.row(NEW).weight) == (False, 0)


def test_a_fold_that_starts_from_bytes_within_a_handover_goes_on_alike(changes: Changes) -> None:
    changes.hand_over(OLD, consent=False)
    changes.hand_over(FOUNDERS[2])
    changes.cuts(3)
    changes.object(OLD)
    changes.cuts(COLD_EPOCHS + 2)
    records = changes.book.order
    full = folded(changes.network, records)
    assert full.latest.moved
    for index in range(4, full.latest.index, 3):
        assert assert_goes_on_alike(full, full.latest.path[: index + 1], records)


# ---------------------------------------------------------------- money


def test_accounts_claims_and_pledges_move_and_the_sum_stays() -> None:
    network = with_tariff(with_line(make_network(FOUNDERS, handover_epochs=COLD_EPOCHS)))
    changes = Changes(network, FOUNDERS)
    changes.say(OLD, Kind.CHEQUE, cheque_of(network.id, OLD_KEY, 900, 9, until=60).encode())
    changes.say(OLD, Kind.PLEDGE, PledgeOffer(0, 1000, 1, 2).encode())
    changes.cut()
    changes.hand_over(OLD)
    changes.cut()
    changes.wait()
    books = changes.latest.books
    assert books is not None
    assert set(books.claims) == {NEW_KEY}
    assert set(books.pledges) == {(0, NEW_KEY)}
    assert OLD_KEY not in books.accounts
    assert sum(row.total for row in account_rows(books)) == 0


def test_what_others_hold_of_a_sponsor_goes_back_to_its_new_key() -> None:
    a, b, old, new = (bytes([number]) * 32 for number in range(1, 5))
    accounts = {
        old: Account(-70, {(5, a): 20}, answers=3, forfeited=1),
        b: Account(0, {(5, old): 30, (6, old): 10, (5, new): 10}),
        a: Account(0),
    }
    books = Books(accounts, {old: {(a, 9): Claim(50, 1, 0, {7: 20})}, b: {(old, 9): Claim(5, 1)}}, {}, 0)
    before = sum(row.total for row in account_rows(books))
    moved: list[int] = []
    Posting(books, TARIFF, lambda movement: moved.append(movement.amount)).hand_over(old, new)
    assert books.accounts[new] == Account(-70, {(5, a): 20}, answers=3, forfeited=1)
    assert books.accounts[b].escrow == {(5, new): 40, (6, new): 10}
    assert list(books.claims[b]) == [(old, 9)]  # what it owes by cheques stays with the key that signed them
    assert sum(row.total for row in account_rows(books)) == before
    assert sum(moved) == 0
    assert moved


def test_sets_and_mappings_by_peer() -> None:
    one, two, three = (bytes([number]) for number in range(3))
    assert renamed(frozenset((one, two)), two, three) == {one, three}
    assert renamed(frozenset((one,)), two, three) == {one}
    assert list(with_key({two: 1, three: 2}, three, one)) == [one, two]
