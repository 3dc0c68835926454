"""Passports: what they show, that they hold for nothing else, and how large they are."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.issuing import issue
from p2pverify.core.proofs.passport import Passport, Refuted, check_passport, decode_passport
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.view import scores
from p2pverify.testnet.world import World
from tests.support.book import Book
from tests.support.networks import make_network, seeds
from tests.support.worlds import make_world


@pytest.fixture(scope="module")
def world() -> World:
    """Five peers and their findings about one that always lies."""
    world = make_world(5, seed=3, kinds={2: "always-wrong"}, disputes_per_cut=4)
    world.run_epochs(12)
    return world


def passport_of(world: World, which: int) -> Passport:
    machine = world.peers[0].machine
    found = issue(machine.fold, world.peers[which].machine.key)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def passport(world: World) -> Passport:
    return passport_of(world, 2)


def test_it_shows_the_row_of_the_newest_cut(world: World) -> None:
    machine = world.peers[0].machine
    rows = {row.peer: row for row in scores(machine.network, machine.fold.latest)}
    for which, peer in enumerate(world.peers):
        facts = check_passport(machine.network, decode_passport(passport_of(world, which).encode()))
        expected = rows[peer.machine.key]
        assert (facts.row.peer, facts.row.standing) == (peer.machine.key, expected.standing)
        assert (facts.row.low_ppm, facts.row.high_ppm) == (expected.low_ppm, expected.high_ppm)
        assert (facts.row.agreements, facts.row.dissents) == (expected.agreements, expected.dissents)
        assert (facts.row.conviction, facts.row.weight) == (expected.conviction, expected.weight)
        assert (facts.cut_id, facts.epoch) == (machine.fold.latest.id, machine.fold.latest.epoch)
        assert 3 * facts.signed >= 2 * facts.weighted
        assert facts.founders_signed == facts.signed


def test_a_stranger_has_none(world: World) -> None:
    assert issue(world.peers[0].machine.fold, bytes(32)) is None


def test_before_the_first_cut_nobody_has_one() -> None:
    identities = seeds(3)
    assert issue(Book(make_network(identities)).fold, sign.public_key(identities[0])) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: replace(p, score=replace(p.score, position=p.score.position + 1)), "the row is not in the view"),
        (lambda p: replace(p, score=replace(p.score, row=p.score.row[:-1] + b"\x81")), "the row is not in the view"),
        (
            lambda p: replace(p, score=replace(p.score, head=replace(p.score.head, epoch=p.score.head.epoch + 1))),
            "a signature does not hold",
        ),
        (lambda p: replace(p, cut=replace(p.cut, heads=bytes(32))), "a signature does not hold"),
        (lambda p: replace(p, cut=replace(p.cut, seq=p.cut.seq + 1)), "a signature does not hold"),
        (lambda p: replace(p, weighted=p.weighted[:-1]), "the keys are not those with weight in the view"),
        (lambda p: replace(p, signatures=p.signatures[:2]), "fewer than two thirds"),
        (
            lambda p: replace(p, signatures=(*p.signatures[:-1], replace(p.signatures[-1], signature=bytes(64)))),
            "a signature does not hold",
        ),
    ],
)
def test_what_does_not_belong_to_the_cut_is_refused(world: World, passport: Passport, change, reason: str) -> None:
    with pytest.raises(Refuted, match=reason):
        check_passport(world.network, change(passport))


def test_one_signature_counts_once(passport: Passport) -> None:
    """A reader who counted one signer twice would believe a third of the weight."""
    doubled = replace(passport, signatures=(passport.signatures[0],) * 4)
    with pytest.raises(DecodeError, match="signatures are not sorted and distinct"):
        decode_passport(doubled.encode())


def test_it_is_of_one_network(passport: Passport) -> None:
    with pytest.raises(Refuted, match="of another network"):
        check_passport(make_network(seeds(3)), passport)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_changed_bytes_prove_nothing(world: World, passport: Passport, data: st.DataObject) -> None:
    encoded = passport.encode()
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:at] + data.draw(st.binary(max_size=2)) + encoded[at + data.draw(st.integers(0, 2)) :]
    try:
        facts = check_passport(world.network, decode_passport(changed))
    except (DecodeError, Refuted):
        return
    assert changed == encoded
    assert facts.row.peer == world.peers[2].machine.key


def test_a_hundred_members_fit_into_fifteen_kilobytes() -> None:
    identities = seeds(100, "crowd")
    network = make_network(identities)
    book = Book(network)
    for each in identities:
        book.say(each, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(each))).encode(), 9)
    book.step(identities[0], 9, identities)
    found = issue(book.fold, sign.public_key(identities[50]))
    assert found is not None
    facts = check_passport(network, decode_passport(found.encode()))
    assert (facts.signed, facts.weighted) == (67, 100)
    assert 10_000 < len(found.encode()) <= 15_000
