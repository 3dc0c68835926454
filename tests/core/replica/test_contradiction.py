"""Certified cuts that contradict each other, and what a peer that began with a state waits for before it signs."""

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.horizon import Horizon
from p2pverify.core.replica.silence import CONTRADICTION, RECENT_EPOCHS, Silence
from tests.support.book import Book
from tests.support.networks import make_network, seeds
from tests.support.started import folded
from tests.support.states import served_network

MEMBERS = seeds(7, "contradiction")


def _book() -> Book:
    book = Book(make_network(MEMBERS))
    for seed in MEMBERS:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
    for epoch in range(1, 4):
        book.step(MEMBERS[0], epoch, MEMBERS)
    return book


def _moved(book: Book, without: bytes | None) -> tuple[Head, ...]:
    heads = [book.ledger.head(sign.public_key(seed)) for seed in MEMBERS if seed != without]
    return tuple(sorted(head for head in heads if head is not None and book.fold.latest.heads.get(head[0]) != head))


def test_two_certified_cuts_that_are_not_nested() -> None:
    """Each lacks a record that the other one has. All sign both."""
    book = _book()
    one = book.proposal(MEMBERS[1], 4, moved=_moved(book, MEMBERS[5]))
    other = book.proposal(MEMBERS[2], 4, moved=_moved(book, MEMBERS[6]))
    first = book.certify(MEMBERS[1], one, MEMBERS)
    assert book.fold.contradiction is None
    second = book.certify(MEMBERS[2], other, MEMBERS)
    assert book.fold.is_certified(first.id)
    assert book.fold.is_certified(second.id)
    assert book.fold.contradiction is not None
    assert set(book.fold.contradiction) == {first.id, second.id}


def test_two_certified_cuts_of_which_one_contains_the_other() -> None:
    book = _book()
    less = book.proposal(MEMBERS[1], 4, moved=_moved(book, MEMBERS[5]))
    more = book.proposal(MEMBERS[2], 4, moved=_moved(book, None))
    for author, cut in ((MEMBERS[2], more), (MEMBERS[1], less)):
        assert book.fold.is_certified(book.certify(author, cut, MEMBERS).id)
    book.step(MEMBERS[0], 5, MEMBERS)
    assert book.fold.contradiction is None


def test_a_peer_that_knows_of_it_signs_nothing() -> None:
    known = served_network()
    silence = Silence(known.network.params, bytes(32), known.fold)
    reason = silence.contradict(b"\1" * 32, b"\2" * 32)
    assert silence.stopped == reason
    assert reason.startswith(CONTRADICTION)
    assert "01" * 32 in reason
    assert "02" * 32 in reason


def test_a_peer_that_began_with_a_state_waits() -> None:
    """For a recent cut, and for the records of the cuts with which it began."""
    known = served_network()
    cuts = tuple(cut for index in range(29, 33) if (cut := known.fold.latest.at_index(index)) is not None)
    fold = folded(known.network, [])
    fold.start_from(Base(cuts, tuple(known.fold.states[cut] for cut in cuts)))
    silence = Silence(known.network.params, bytes(32), fold)
    assert not silence.awaits
    silence.doubt()
    params, epoch = known.network.params, fold.latest.epoch

    def look(at: int) -> str:
        silence.look(params.epoch_start_ms(at) + 1)
        return silence.awaits

    silence.begin(params.epoch_start_ms(epoch + RECENT_EPOCHS + 1))
    assert "a final cut of the last" in look(epoch + RECENT_EPOCHS + 1)
    assert silence.is_on
    assert "the records of the cuts" in look(epoch + RECENT_EPOCHS)
    assert silence.is_on
    bottom = fold.kept(cuts[0])
    assert bottom is not None
    fold.feed(r for r in known.records if r.author not in bottom.heads or r.seq > bottom.heads[r.author][1])
    assert not look(epoch + RECENT_EPOCHS)
    silence.begin(params.epoch_start_ms(epoch + 1), alone=True)
    assert not look(epoch + 1_000)
    assert not silence.is_on


def test_a_peer_without_records_offers_the_cut_above_which_it_needs_them() -> None:
    known = served_network()
    cuts = tuple(cut for index in range(29, 33) if (cut := known.fold.latest.at_index(index)) is not None)
    fold = folded(known.network, [])
    fold.start_from(Base(cuts, tuple(known.fold.states[cut] for cut in cuts)))
    horizon = Horizon(fold, bytes(32), forgets=True)
    horizon.begin_above(fold.ledger.floors(), cuts[0])
    bottom = fold.kept(cuts[0])
    assert bottom is not None
    assert horizon.path == (cuts[0],)
    assert horizon.heads_at(cuts[0]) == bottom.heads
    fold.feed(r for r in known.records if r.author not in bottom.heads or r.seq > bottom.heads[r.author][1])
    assert horizon.path[:4] == cuts
    assert horizon.heads_at(cuts[0]) == bottom.heads
