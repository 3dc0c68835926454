"""The ledger of a network that goes on from a cut of another one: its first cuts, and verifying it offline."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import GossipReject
from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.verify import VerificationFailed, verify
from p2pverify.core.state.fork import fork, forked_network, read_start, write_start
from p2pverify.core.state.state import State
from p2pverify.core.state.view import scores
from tests.support.archives import segments_of
from tests.support.book import Book
from tests.support.networks import make_network, seeds

SEEDS = seeds(5, "forked network")
KEYS = [sign.public_key(seed) for seed in SEEDS]
OLD = make_network(SEEDS, founders=4)
NEWCOMER = SEEDS[4]
LAST_EPOCH = 3


def join(book: Book, seed: bytes, epoch: int) -> Record:
    return book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed)), "").encode(), epoch)


@pytest.fixture(scope="module")
def left() -> Book:
    """The old network with cuts of three epochs; the first founder is then left behind."""
    book = Book(OLD)
    for seed in SEEDS[:4]:
        join(book, seed, 0)
    for epoch in range(1, LAST_EPOCH + 1):
        book.step(SEEDS[1], epoch, SEEDS[1:4])
    for key in KEYS[:4]:
        book.fold.latest.change(key, agreements=20)
    return book


@pytest.fixture(scope="module")
def begun(left: Book) -> tuple[Network, bytes, State]:
    state = left.fold.latest
    start = fork(state, KEYS[:1])
    network = forked_network(OLD, state.id, start)
    data = write_start(network, start)
    return network, data, read_start(network, data)


@pytest.fixture
def book(begun: tuple[Network, bytes, State]) -> Book:
    network, _, start = begun
    return Book(network, start=start)


def test_members_go_on_with_their_rows_and_logs_of_their_own(book: Book) -> None:
    """A row is no new author, so its log may begin with any record. Its vote counts before it has joined."""
    assert book.fold.latest.index == LAST_EPOCH
    for seed in SEEDS[1:3]:
        join(book, seed, LAST_EPOCH + 2)
    book.say(SEEDS[0], Kind.LEAVE, b"\x80", LAST_EPOCH + 2)
    first = book.step(SEEDS[1], LAST_EPOCH + 2, SEEDS[1:3])
    state = book.fold.latest
    assert (state.id, state.index, state.epoch) == (first.id, LAST_EPOCH + 1, LAST_EPOCH + 2)
    found = {score.peer: score for score in scores(book.network, state)}
    assert [found[key].agreements for key in KEYS[:4]] == [20] * 4
    assert [found[key].weight for key in KEYS[:4]] == [0, 1, 1, 1]
    assert [state.members[key].active for key in KEYS[:4]] == [False, True, True, False]
    assert KEYS[3] not in state.heads
    book.step(SEEDS[2], LAST_EPOCH + 3, SEEDS[1:3])
    assert book.fold.latest.index == LAST_EPOCH + 2


def test_the_segments_of_its_archive_have_the_first_state(book: Book) -> None:
    for seed in SEEDS[1:3]:
        join(book, seed, LAST_EPOCH + 2)
    for epoch in range(LAST_EPOCH + 2, LAST_EPOCH + 12):
        book.step(SEEDS[1], epoch, SEEDS[1:3])
    first, second = segments_of(Archiving(book.fold), 9)
    assert first.states == second.states[:1] == (write_start(book.network, book.fold.genesis),)
    assert (first.audit().first_epoch, second.audit().first_epoch) == (LAST_EPOCH, 8)
    for states in (second.states[1:2], (first.states[0][:-1] + b"x",)):
        with pytest.raises(VerificationFailed):
            replace(first, states=states).audit()
    with pytest.raises(VerificationFailed, match="the state with which the network begins is missing"):
        replace(first, states=(), header=replace(first.header, has_start=False)).audit()


def test_without_two_thirds_of_the_carried_weight_no_cut_is_final(book: Book) -> None:
    for seed in (SEEDS[0], SEEDS[1]):
        join(book, seed, LAST_EPOCH + 2)
    book.certify(SEEDS[1], book.proposal(SEEDS[1], LAST_EPOCH + 2), (SEEDS[0], SEEDS[1]))
    assert book.fold.latest is book.fold.genesis


@pytest.mark.parametrize(("epoch", "holds"), [(LAST_EPOCH - 1, False), (LAST_EPOCH, True), (LAST_EPOCH + 1, True)])
def test_the_first_cut_is_not_of_an_earlier_epoch_than_the_first_state(book: Book, epoch: int, holds: bool) -> None:
    for seed in SEEDS[1:4]:
        join(book, seed, epoch)
    proposal = book.certify(SEEDS[1], book.proposal(SEEDS[1], epoch), SEEDS[1:4])
    state = book.fold.state(proposal.id)
    assert (state is not None) is holds
    if not holds:
        assert book.fold.fault(proposal.id) == "the cut is not of a later epoch than its base"


def test_a_newcomer_is_a_new_author(book: Book) -> None:
    """Without a join no cut takes it in."""
    for seed in SEEDS[1:4]:
        join(book, seed, LAST_EPOCH + 1)
    book.say(NEWCOMER, Kind.LEAVE, b"\x80", LAST_EPOCH + 1)
    proposal = book.certify(SEEDS[1], book.proposal(SEEDS[1], LAST_EPOCH + 1), SEEDS[1:4])
    assert book.fold.state(proposal.id) is None
    assert book.fold.fault(proposal.id) == "a new author has not joined lately"


def test_records_of_the_old_network_are_of_another_one(left: Book, begun: tuple[Network, bytes, State]) -> None:
    network = begun[0]
    with pytest.raises(GossipReject, match="network"):
        judge(left.order[0].data, Rules(network, network.id, LAST_EPOCH))


def test_its_ledger_is_verified_with_the_first_state(book: Book, begun: tuple[Network, bytes, State]) -> None:
    network, data, _ = begun
    for seed in SEEDS[1:4]:
        join(book, seed, LAST_EPOCH + 1)
    cut = book.step(SEEDS[1], LAST_EPOCH + 1, SEEDS[1:4])
    records = [record.data for record in book.order]
    found = verify(network.id, network.encode(), cut.id, records, data)
    assert (found.cut_id, found.cuts) == (cut.id, LAST_EPOCH + 1)
    assert {score.peer for score in found.scores} == set(KEYS[:4])
    other = write_start(network, fork(begun[2], KEYS[1:2]))
    for wrong, reason in ((b"", "truncated"), (data[:-1], "truncated"), (other, "not the state that")):
        with pytest.raises(VerificationFailed, match=f"the state at the beginning does not hold: .*{reason}"):
            verify(network.id, network.encode(), cut.id, records, wrong)
    with pytest.raises(VerificationFailed, match="begins with its founders"):
        verify(OLD.id, OLD.encode(), cut.id, records, data)
