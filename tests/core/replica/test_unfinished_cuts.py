"""A cut that contains many cuts that were never certified: the cost of folding it, and that it needs no deep stack."""

import inspect
import sys
from typing import Any

import pytest

from p2pverify.core.encoding import vrf
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica import states
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.states import STATES_KEPT
from p2pverify.core.state.view import view_root
from tests.support.book import Book
from tests.support.networks import make_network, seeds

#: More than the kept states, and more than a stack could hold if each cut were folded inside the next.
CUTS = STATES_KEPT + 60
FRAMES = 150


@pytest.fixture(scope="module")
def book() -> Book:
    """In each epoch, a proposal on the same base that half of the weight signs, which is enough for its convictions to
    count."""
    identities = seeds(4, "unfinished")
    book = Book(make_network(identities))
    for seed in identities:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed)), "cpu").encode(), 0)
    for epoch in range(1, CUTS + 1):
        book.certify(identities[0], book.proposal(identities[0], epoch), identities[:2])
    assert book.fold.latest is book.fold.genesis
    last = book.order[-3]
    assert last.kind == Kind.CUT
    for seed in identities[2:]:
        book.say(seed, Kind.CUT_SIGNATURE, CutSignature(last.id).encode(), CUTS)
    assert book.fold.latest.id == last.id
    return book


def test_each_of_them_is_folded_twice_at_most(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A starting peer folds each cut once to find what it needs, and once with it, even if states were forgotten."""
    folded: list[bytes] = []
    advance = states.advance  # type: ignore[attr-defined]

    def counting(*arguments: object, **named: Any) -> object:
        folded.append(named["cut_id"])
        return advance(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(states, "advance", counting)
    fold = Fold(book.network, Ledger())
    for record in book.order:
        for added in fold.ledger.add(record):
            fold.take(added)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + FRAMES)
    try:
        fold.settle()
    finally:
        sys.setrecursionlimit(limit)
    assert view_root(book.network, fold.latest) == view_root(book.network, book.fold.latest)
    assert len(folded) > CUTS
    assert max(folded.count(cut_id) for cut_id in set(folded)) <= 2


def test_states_that_were_forgotten_come_back_the_same(book: Book) -> None:
    """The state of the oldest cut of the pause was dropped long ago."""
    first = next(record for record in book.order if record.kind == Kind.CUT)
    fold = book.fold
    assert fold.kept(first.id) is None
    state = fold.state(first.id)
    assert state is not None
    assert state.epoch == 1
