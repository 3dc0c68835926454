"""The address book: what it believes, and when it wants to dial."""

import random

from p2pverify.net import book
from p2pverify.net.address import parse_address
from p2pverify.net.book import Book

OWN, LESSER, GREATER = b"\x05" * 32, b"\x01" * 32, b"\x09" * 32
HERE, THERE = parse_address("/ip4/192.0.2.1/tcp/1"), parse_address("/ip4/192.0.2.2/tcp/2")


def _book(*bootstrap):
    return Book(OWN, bootstrap, random.Random(1))


def test_bootstrap_is_due_at_once_and_kept_for_ever():
    """However often it fails, with ever longer delays up to the maximum."""
    addresses = _book(HERE, THERE.with_peer(LESSER))
    assert len(addresses.due(0, ())) == 2
    for target in addresses.due(0, ()):
        for _ in range(50):
            addresses.failed(target, 1000)
    assert addresses.due(1000, ()) == []
    assert len(addresses.due(1000 + book.DELAY_S_MAX, ())) == 2


def test_delays_double():
    """Each failure about doubles the delay, with jitter."""
    addresses = _book(HERE)
    (target,) = addresses.due(0, ())
    delays = []
    for _ in range(5):
        addresses.failed(target, 100)
        delays.append(target.due_s - 100)
    for number, delay in enumerate(delays, start=1):
        longest = book.DELAY_S_MIN * 2**number
        assert longest / 2 <= delay <= longest


def test_the_lesser_key_dials_first():
    """Of two peers that hear of each other, one waits for the other."""
    addresses = _book()
    addresses.learn(GREATER, [HERE], 0, first_hand=False)
    addresses.learn(LESSER, [THERE], 0, first_hand=False)
    first, second = sorted(addresses._waiting(()), key=lambda target: target.due_s)
    assert (first.peer, second.peer) == (GREATER, LESSER)


def test_first_hand_beats_hearsay():
    """What a peer says of itself replaces hearsay, and later hearsay does not replace it."""
    addresses = _book()
    addresses.learn(LESSER, [HERE], 0, first_hand=False)
    addresses.learn(LESSER, [THERE], 0, first_hand=True)
    addresses.learn(LESSER, [HERE], 0, first_hand=False)
    assert addresses.addresses(LESSER) == (THERE.with_peer(LESSER),)


def test_a_bootstrap_address_is_not_overwritten():
    """What the operator configured stays beside what the peer says."""
    addresses = _book(HERE.with_peer(LESSER))
    addresses.learn(LESSER, [THERE], 0, first_hand=True)
    assert addresses.addresses(LESSER) == (THERE.with_peer(LESSER), HERE.with_peer(LESSER))


def test_connected_peers_and_our_own_key_are_not_dialled():
    """Neither is due, whatever the time."""
    addresses = _book(HERE.with_peer(OWN), THERE.with_peer(LESSER))
    addresses.learn(OWN, [THERE], 0, first_hand=False)
    assert addresses.due(10**6, {LESSER}) == []
    assert addresses.next_due_s({LESSER}) == float("inf")


def test_wrong_hearsay_is_forgotten():
    """A peer that nobody answers for is dropped after some failures."""
    addresses = _book()
    addresses.learn(LESSER, [HERE], 0, first_hand=False)
    (target,) = addresses.due(10, ())
    for _ in range(book.FAILURES_MAX):
        addresses.failed(target, 10)
    assert len(addresses) == 0


def test_the_book_is_bounded():
    """Strangers cannot fill it beyond the limit, and proven failures make room."""
    addresses = _book()
    for number in range(book.PEERS_MAX + 50):
        addresses.learn(number.to_bytes(32, "big"), [HERE], 0, first_hand=False)
    assert len(addresses) == book.PEERS_MAX
    addresses.failed(addresses.due(10, ())[0], 10)
    addresses.learn(GREATER, [HERE], 0, first_hand=False)
    assert addresses.addresses(GREATER)
    assert len(addresses) == book.PEERS_MAX


def test_a_connection_that_comes_to_nothing_counts_as_failed():
    """A peer that closes at once is not dialled in a tight loop; one that was a neighbour soon is."""
    addresses = _book(HERE.with_peer(GREATER))
    (target,) = addresses.due(0, ())
    addresses.lost(GREATER, 0, confirmed=False)
    addresses.lost(GREATER, 100, confirmed=False)
    assert target.failures == 2
    addresses.lost(GREATER, 200, confirmed=True)
    assert target.failures == 0
    assert 200 < target.due_s <= 200 + book.DELAY_S_MIN


def test_banned_peers_are_left_alone_for_a_while():
    """A peer of another network is not dialled before the ban is over."""
    addresses = _book(HERE.with_peer(LESSER))
    addresses.ban(LESSER, 0)
    addresses.lost(LESSER, 0, confirmed=True)
    assert addresses.due(book.BAN_S - 1, ()) == []
    assert len(addresses.due(book.BAN_S, ())) == 1
