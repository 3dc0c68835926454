"""The address book: the addresses that it accepts, and the times of its dials."""

import random

from p2pverify.net.peers import address_book
from p2pverify.net.peers.address_book import AddressBook
from p2pverify.net.peers.signed_addresses import EXPIRY_MS, SignedAddresses
from p2pverify.node.endpoints.address import parse_address

OWN, LESSER, GREATER = b"\x05" * 32, b"\x01" * 32, b"\x09" * 32
HERE, THERE = parse_address("/ip4/192.0.2.1/tcp/1"), parse_address("/ip4/192.0.2.2/tcp/2")
SOURCE, OTHER = b"\x0a" * 32, b"\x0b" * 32


def _book(*bootstrap):
    return AddressBook(OWN, bootstrap, random.Random(1))


def _statement(peer, address, seq):
    return SignedAddresses(bytes(32), peer, seq, (address,), bytes(64))


def _hear(addresses, peer, address=HERE, seq=1, now_s=0, source=SOURCE):
    addresses.hear(peer, [address], _statement(peer, address, seq), now_s, source=source)


def _number(number):
    return number.to_bytes(32, "big")


def test_bootstrap_is_due_at_once_and_kept_for_ever():
    """It is kept after any number of failures, with delays that grow to the maximum."""
    addresses = _book(HERE, THERE.with_peer(LESSER))
    assert len(addresses.due(0, ())) == 2
    for target in addresses.due(0, ()):
        for _ in range(50):
            addresses.failed(target, 1000)
    assert addresses.due(1000, ()) == []
    assert len(addresses.due(1000 + address_book.DELAY_S_MAX, ())) == 2


def test_delays_double():
    """Each failure about doubles the delay, with jitter."""
    addresses = _book(HERE)
    (target,) = addresses.due(0, ())
    delays = []
    for _ in range(5):
        addresses.failed(target, 100)
        delays.append(target.due_s - 100)
    for number, delay in enumerate(delays, start=1):
        longest = address_book.DELAY_S_MIN * 2**number
        assert longest / 2 <= delay <= longest


def test_the_lesser_key_dials_first():
    """If two peers hear of each other, one waits for the other to dial."""
    addresses = _book()
    _hear(addresses, GREATER)
    _hear(addresses, LESSER)
    first, second = sorted(addresses._waiting(()), key=lambda target: target.due_s)
    assert (first.peer, second.peer) == (GREATER, LESSER)


def test_the_newer_word_counts():
    """The newest signed statement is kept, whichever peer sent it. An unsigned address only fills a gap."""
    addresses = _book()
    addresses.hear(LESSER, [HERE], None, 0, source=SOURCE)
    assert addresses.addresses(LESSER) == (HERE.with_peer(LESSER),)
    _hear(addresses, LESSER, THERE, seq=5)
    _hear(addresses, LESSER, HERE, seq=4)
    addresses.hear(LESSER, [HERE], None, 0, source=SOURCE)
    assert addresses.addresses(LESSER) == (THERE.with_peer(LESSER),)
    assert addresses.statement(LESSER).seq == 5
    _hear(addresses, LESSER, HERE, seq=6)
    assert addresses.addresses(LESSER) == (HERE.with_peer(LESSER),)


def test_a_peers_own_word_may_say_more_than_it_signed():
    """The address of its connection is used, but only its signed statement is passed on."""
    addresses = _book()
    addresses.meet(LESSER, [HERE, THERE], _statement(LESSER, HERE, 5), 0)
    assert addresses.addresses(LESSER) == (HERE.with_peer(LESSER), THERE.with_peer(LESSER))
    assert addresses.statement(LESSER).addresses == (HERE,)
    addresses.meet(LESSER, [THERE], _statement(LESSER, THERE, 4), 0)
    assert addresses.statement(LESSER).seq == 5
    assert addresses.addresses(LESSER) == (THERE.with_peer(LESSER),)


def test_a_bootstrap_address_is_not_overwritten():
    """The operator's address stays beside the peer's own statement."""
    addresses = _book(HERE.with_peer(LESSER))
    addresses.meet(LESSER, [THERE], _statement(LESSER, THERE, 1), 0)
    assert addresses.addresses(LESSER) == (THERE.with_peer(LESSER), HERE.with_peer(LESSER))


def test_connected_peers_and_our_own_key_are_not_dialled():
    """Neither is due at any time."""
    addresses = _book(HERE.with_peer(OWN), THERE.with_peer(LESSER))
    _hear(addresses, OWN)
    assert addresses.due(10**6, {LESSER}) == []
    assert addresses.next_due_s({LESSER}) == float("inf")


def test_wrong_hearsay_is_forgotten():
    """An unconfirmed peer is dropped after some failures. A former neighbour is tried for a day."""
    addresses = _book()
    _hear(addresses, LESSER)
    addresses.meet(GREATER, [THERE], None, 0)
    for target in addresses.due(10, ()):
        for _ in range(address_book.FAILURES_MAX):
            addresses.failed(target, 10)
    assert addresses.addresses(LESSER) == ()
    assert addresses.addresses(GREATER)
    (known,) = addresses.due(10 + address_book.DELAY_S_MAX_GONE, ())
    addresses.failed(known, address_book.KEEP_S + 1)
    assert len(addresses) == 0


def test_expired_words_are_forgotten():
    """A peer that is known only from its signed statement is removed when the statement expires."""
    addresses = _book()
    _hear(addresses, LESSER, seq=1000)
    addresses.meet(GREATER, [THERE], _statement(GREATER, THERE, 1000), 0)
    addresses.forget_expired(1000 + EXPIRY_MS - 1)
    assert len(addresses) == 2
    addresses.forget_expired(1000 + EXPIRY_MS)
    assert addresses.addresses(LESSER) == ()
    assert addresses.addresses(GREATER)
    assert addresses.statement(GREATER).seq == 1000  # for the disk; it is not current, so it is not passed on


def test_the_book_is_bounded():
    """One source has a share, all together have the whole, and peers with failures are removed for others."""
    addresses = _book()
    for number in range(address_book.PEERS_PER_SOURCE_MAX + 5):
        _hear(addresses, _number(number))
    assert len(addresses) == address_book.PEERS_PER_SOURCE_MAX
    addresses.failed(addresses.due(10, ())[0], 10)
    _hear(addresses, GREATER)
    assert addresses.addresses(GREATER)
    assert len(addresses) == address_book.PEERS_PER_SOURCE_MAX
    for source in range(10):
        for number in range(address_book.PEERS_PER_SOURCE_MAX):
            _hear(addresses, _number(1000 * (source + 1) + number), source=_number(source))
    assert len(addresses) == address_book.PEERS_MAX


def test_a_crowded_book_has_room_for_others():
    """A source with many entries loses a place to a source with few. Own neighbours come before both."""
    addresses = _book()
    for number in range(address_book.PEERS_MAX):
        _hear(addresses, _number(number), source=_number(number % 4))
    _hear(addresses, GREATER, source=OTHER)
    assert addresses.addresses(GREATER)
    for number in range(1, 100):
        addresses.meet(_number(10**6 + number), [HERE], None, 0)
    assert addresses.addresses(GREATER)
    assert addresses.addresses(_number(10**6 + 99))
    assert len(addresses) == address_book.PEERS_MAX


def test_who_told_us_of_many_is_taken_in_turn():
    """Dials alternate between sources, so a hundred dead addresses of one do not delay the addresses of others."""
    addresses = _book()
    for number in range(100):
        _hear(addresses, _number(number), source=SOURCE)
    _hear(addresses, GREATER, source=OTHER)
    first_two = [target.peer for target in addresses.due(10, ())[:2]]
    assert GREATER in first_two
    assert addresses.next_due_s(()) < 10
    assert addresses.next_due_s((), hearsay=False) == float("inf")


def test_a_connection_that_comes_to_nothing_counts_as_failed():
    """A peer that closes at once is not dialled in a tight loop. A former neighbour is dialled soon."""
    addresses = _book(HERE.with_peer(GREATER))
    (target,) = addresses.due(0, ())
    addresses.lost(GREATER, 0, confirmed=False)
    addresses.lost(GREATER, 100, confirmed=False)
    assert target.failures == 2
    addresses.lost(GREATER, 200, confirmed=True)
    assert target.failures == 0
    assert 200 < target.due_s <= 200 + address_book.DELAY_S_MIN


def test_banned_peers_are_left_alone_for_a_while():
    """A peer of another network is not dialled before the ban is over."""
    addresses = _book(HERE.with_peer(LESSER))
    addresses.ban(LESSER, 0)
    addresses.lost(LESSER, 0, confirmed=True)
    assert addresses.due(address_book.BAN_S - 1, ()) == []
    assert len(addresses.due(address_book.BAN_S, ())) == 1
