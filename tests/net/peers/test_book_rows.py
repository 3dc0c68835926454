"""The address book on disk: what comes back, in which order it is dialled, and what is dropped."""

import random
from dataclasses import replace

import pytest
import trio

from p2pverify.core.encoding import canon, sign
from p2pverify.net.peers import exchange
from p2pverify.net.peers.address_book import PEERS_MAX, AddressBook
from p2pverify.net.peers.book_rows import FIRST_REDIALLED, MET_KEPT_MS, restore, rows_of
from p2pverify.net.peers.signed_addresses import EXPIRY_MS, GLOBAL, LOOPBACK, sign_addresses
from p2pverify.node.endpoints.address import parse_address
from p2pverify.node.endpoints.shelf import KEPT_PEERS_MAX, KeptPeer
from tests.net.real_peers import NETWORK, OTHER_NETWORK, join, seed_of

NOW_MS = 1_800_000_000_000
SOURCE = b"\x0a" * 32


def _book():
    return AddressBook(b"\x05" * 32, (), random.Random(1))


def _row(name, *, address="/ip4/1.2.3.4/tcp/1", seq=NOW_MS, network=NETWORK, met_ms=0, linked_ms=0, least=GLOBAL):
    statement = sign_addresses(seed_of(name), network, seq, [parse_address(address)])
    key = sign.public_key(seed_of(name))
    return KeptPeer(key, canon.encode(statement.to_value()), met_ms, 0, linked_ms, least)


def test_the_longest_links_are_dialled_first():
    """Then come peers that were met, and at last hearsay."""
    rows = [_row(f"heard {n}") for n in range(20)]
    rows += [_row(f"met {n}", met_ms=NOW_MS - 1) for n in range(5)]
    rows += [_row(f"linked {n}", met_ms=NOW_MS - 1, linked_ms=1000 * (n + 1)) for n in range(6)]
    book = _book()
    assert restore(book, rows, NETWORK, 100.0, NOW_MS) == 0
    dialled = [target.peer for target in book.due(1000.0, ())]
    longest = [sign.public_key(seed_of(f"linked {n}")) for n in range(6 - FIRST_REDIALLED, 6)]
    assert set(dialled[:FIRST_REDIALLED]) == set(longest)
    assert {target.peer for target in book.due(100.0, ())} == set(longest)
    heard = {row.peer for row in rows[:20]}
    assert set(dialled[-20:]) == heard


def test_a_book_comes_back_as_it_was():
    """Statements, the last meeting, failures and the age of connections are kept."""
    book = _book()
    met, heard = (sign_addresses(seed_of(n), NETWORK, NOW_MS, [parse_address("/ip4/1.2.3.4/tcp/1")]) for n in "mh")
    book.meet(met.peer, met.addresses, met, 50.0)
    book.hear(heard.peer, heard.addresses, heard, 60.0, source=SOURCE)
    book.meet(b"\x07" * 32, [parse_address("/ip4/1.2.3.4/tcp/9")], None, 50.0)  # nobody signed it
    rows = rows_of(book, {met.peer: 7.5}, 100.0, NOW_MS)
    assert [(row.peer, row.met_ms, row.linked_ms) for row in rows] == [(met.peer, NOW_MS, 7500), (heard.peer, 0, 0)]
    again = _book()
    assert restore(again, rows, NETWORK, 10.0, NOW_MS) == 0
    assert again.statement(met.peer) == met
    assert again.addresses(heard.peer) == book.addresses(heard.peer)
    assert rows_of(again, {met.peer: 7.5}, 10.0, NOW_MS) == rows


@pytest.mark.parametrize(
    "row",
    [
        replace(_row("a"), statement=b""),
        replace(_row("a"), statement=_row("a").statement[:-1] + bytes([_row("a").statement[-1] ^ 1])),
        replace(_row("a"), peer=_row("b").peer),
        _row("a", network=OTHER_NETWORK),
        _row("a", seq=NOW_MS - EXPIRY_MS),
        _row("a", seq=NOW_MS - EXPIRY_MS, met_ms=NOW_MS - MET_KEPT_MS - 1),
        _row("a", seq=NOW_MS - EXPIRY_MS, met_ms=NOW_MS + 1),
        _row("a", address="/ip4/127.0.0.1/tcp/1", least=GLOBAL),
    ],
)
def test_other_rows_are_dropped(row):
    """Damaged, of another peer or network, expired hearsay, met too long ago, or of less reach than was in use."""
    book = _book()
    assert restore(book, [row, _row("whole")], NETWORK, 10.0, NOW_MS) == 1
    assert len(book) == 1


def test_an_expired_statement_of_a_met_peer_is_still_an_address():
    """It is dialled, although it would not be passed on."""
    book = _book()
    row = _row("a", seq=NOW_MS - EXPIRY_MS, met_ms=NOW_MS - MET_KEPT_MS, address="/ip4/127.0.0.1/tcp/1", least=LOOPBACK)
    assert restore(book, [row], NETWORK, 10.0, NOW_MS) == 0
    assert not book.statement(row.peer).is_current(NOW_MS)
    assert [target.peer for target in book.due(1000.0, ())] == [row.peer]


def test_too_many_rows_fill_the_book_and_no_more():
    """A longer table changes nothing."""
    book, one = _book(), _row("a")
    rows = [one] * (PEERS_MAX - 1) + [_row("b"), _row("c"), _row("d")]
    restore(book, rows, NETWORK, 10.0, NOW_MS)
    assert len(book) == 2
    assert len(rows_of(book, {}, 10.0, NOW_MS)) <= KEPT_PEERS_MAX == PEERS_MAX


class _Shelf:
    def __init__(self):
        self.rows = ()

    def load(self):
        return self.rows

    async def save(self, rows):
        await trio.lowlevel.checkpoint()
        self.rows = tuple(rows)
        return True


async def test_a_restart_without_bootstrap_reconnects(nursery):
    """The book is written at the end, and leads back to the peers. A damaged row is dropped and counted."""
    with trio.fail_after(20):
        shelf = _Shelf()
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address, shelf=shelf)
        await bob.mesh.wait_gossiping(alice.key)
        await bob.leave()
        (row,) = shelf.rows
        assert row.peer == alice.key
        assert row.linked_ms >= 0
        assert row.met_ms > 0
        shelf.rows = (replace(row, peer=bytes(32)), row)
        again = await join(nursery, "bob", shelf=shelf)
        await again.mesh.wait_gossiping(alice.key)
    assert again.count("book_rows_read") == 1
    assert again.count("book_rows_dropped") == 1


async def test_the_book_is_written_now_and_then(nursery, monkeypatch):
    """A killed process finds the book of its last minutes. A disk that refuses is counted."""
    monkeypatch.setattr(exchange, "SAVE_SECONDS", 0.01)
    with trio.fail_after(20):
        shelf = _Shelf()
        alice = await join(nursery, "alice")
        bob = await join(nursery, "bob", alice.address, shelf=shelf)
        while not shelf.rows:
            await trio.lowlevel.checkpoint()

        async def refuse(_rows):
            await trio.lowlevel.checkpoint()
            return False

        shelf.save = refuse
        while not bob.count("book_not_saved"):
            await trio.lowlevel.checkpoint()
