"""Proposals and signatures of the worst authors, and the cut from which the network must go on."""

from collections import Counter

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.memory import PROPOSALS_MAX, UNKNOWN_SIGNED_MAX, memory_cuts
from p2pverify.core.state.state import State
from p2pverify.testnet.world.state_size import part_bytes
from tests.core.state.bounds.authors import founded, many_heads
from tests.support.book import Book
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

MANY = 400
STRANGER = key("stranger")


def cut_bytes(state: State) -> int:
    """The bytes of the parts that proposals and signatures fill."""
    sizes = part_bytes(state)
    return sum(sizes[name] for name in ("cuts", "proposals", "signatures", "noted", "last-signed"))


def proposals(steps: Steps, author: bytes, count: int) -> list[Record]:
    return [steps.propose(author, salt=salt, moved=many_heads(f"{salt}")) for salt in range(count)]


def test_proposals_of_a_key_without_weight_leave_nothing() -> None:
    steps = founded(others=[STRANGER])
    proposed = proposals(steps, STRANGER, MANY)
    for cut in proposed[:8]:
        steps.sign(STRANGER, cut.id)
    steps.step()
    assert not steps.latest.cuts
    assert cut_bytes(steps.latest) < 100


def test_a_convicted_author_leaves_only_proposals_that_a_third_signed() -> None:
    """It can sign its own proposals, which is not enough."""
    steps = founded()
    author, *others = steps.network.founders
    proposed = proposals(steps, author, MANY)
    for cut in proposed[50:]:
        steps.sign(author, cut.id)
    for signer in others[:2]:
        steps.sign(signer, proposed[70].id)
    steps.step()
    assert steps.latest.members[author].conviction == "two proposals for one epoch"
    assert steps.latest.cuts.keys() == {proposed[70].id}
    assert steps.latest.signatures.keys() == {proposed[70].id}


def test_a_member_that_proposes_in_every_epoch_leaves_its_newest_proposals() -> None:
    """On another base in each proposal it is never convicted. One other member signs all of them."""
    steps = founded(7)
    author, signer = steps.network.founders[:2]
    for _ in range(10):
        proposed = [steps.propose(author, salt=salt, base=key(f"base {salt}")) for salt in range(4)]
        for cut in proposed:
            steps.sign(signer, cut.id)
        steps.step()
        assert len(steps.latest.cuts) == len(steps.latest.proposals.values()) * 2 == PROPOSALS_MAX
        assert steps.latest.cuts.keys() <= {cut.id for cut in proposed}
    assert not steps.latest.members[author].is_convicted
    assert steps.latest.last_signed[signer] in steps.latest.cuts


def test_the_network_goes_on_from_the_third_proposal_of_an_equivocator() -> None:
    """It is remembered because a quorum signed it. The two before it convict their author."""
    identities = seeds(4, "equivocator")
    book = Book(make_network(identities))
    for seed in identities:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
    book.step(identities[0], 1, identities)
    liar, others = identities[0], identities[1:]
    moved = tuple(book.ledger.moved(book.fold.latest.heads))
    first, second = (book.certify(liar, book.proposal(liar, 2, moved=moved[:count]), []) for count in (1, 2))
    third = book.certify(liar, book.proposal(liar, 2, moved=moved), others)
    assert book.fold.latest.id == third.id
    book.step(others[0], 3, others)
    book.step(others[1], 4, others)
    state = book.fold.latest
    assert third.id in state.cuts
    assert not {first.id, second.id} & state.cuts.keys()
    assert state.members[sign.public_key(liar)].conviction == "two proposals for one epoch"
    assert state.signatures[third.id] == {sign.public_key(seed) for seed in others}


def test_a_certificate_is_held_although_the_proposal_comes_in_after_its_signatures() -> None:
    """Signatures of a cut that is not here are kept, and they keep the proposal when it comes, whichever it is."""
    steps = founded()
    liar, *others = steps.network.founders
    late = [steps.propose(liar, salt=salt) for salt in range(3)]
    steps.waiting.clear()
    for signer in others:
        steps.sign(signer, late[2].id)
    steps.step()
    assert steps.latest.signatures == {late[2].id: frozenset(others)}
    steps.waiting += late
    steps.step()
    assert steps.latest.cuts.keys() == {late[2].id}
    assert steps.latest.signatures[late[2].id] == frozenset(others)


def test_signatures_of_ids_that_nobody_holds_are_a_few_of_each_signer() -> None:
    """A key without weight leaves none. A member leaves eight, and its signature of a real cut still counts."""
    steps = founded(others=[STRANGER])
    author, other = steps.network.founders[:2]
    for number in range(2_000):
        for signer in (STRANGER, author):
            steps.sign(signer, key(f"{number}"))
    steps.step()
    assert len(steps.latest.signatures) == UNKNOWN_SIGNED_MAX
    assert set(steps.latest.signatures.values()) == {frozenset((author,))}
    proposed = steps.propose(other)
    steps.sign(author, proposed.id)
    steps.sign(author, key("one more"))
    steps.step()
    assert steps.latest.signatures[proposed.id] == {author}
    assert len(steps.latest.signatures) == UNKNOWN_SIGNED_MAX + 1


def test_signatures_of_unknown_ids_make_room_again() -> None:
    steps = founded()
    author = steps.network.founders[0]
    for number in range(3 * memory_cuts(steps.network.params)):
        for salt in range(3):
            steps.sign(author, key(f"{number} {salt}"))
        steps.step()
        counts = Counter(signer for signers in steps.latest.signatures.values() for signer in signers)
        assert counts[author] <= UNKNOWN_SIGNED_MAX
    newest = max(steps.latest.noted.values())
    assert newest > steps.latest.index - memory_cuts(steps.network.params)
    assert steps.latest.noted.keys() == steps.latest.signatures.keys()


def test_who_lost_its_weight_counts_until_the_memory_ends() -> None:
    """The cut of a base in which it had weight needs its signature. Later nothing does."""
    steps = founded()
    gone = steps.network.founders[0]
    steps.leave(gone)
    steps.run(2)
    assert steps.latest.members[gone].weight == 0
    memory = memory_cuts(steps.network.params)
    steps.run(memory - 1)
    steps.sign(gone, key("at the end"))
    steps.step()
    assert len(steps.latest.signatures) == 1
    steps.sign(gone, key("too late"))
    steps.propose(gone)
    steps.step()
    assert len(steps.latest.signatures) == 1
    assert not steps.latest.cuts
