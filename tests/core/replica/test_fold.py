"""The fold is a function of a set: the order and repetition of records, and merging sets, do not matter."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Kind, Record, decode_record, make_record
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.replica.fold import PENDING_MIN, Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.verify import VerificationFailed, verify
from p2pverify.core.state.state import State
from p2pverify.core.state.view import view_head, view_root
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.disk import Disk
from tests.support.book import Book
from tests.support.networks import make_network, seeds
from tests.support.worlds import convicted, final, make_world


@pytest.fixture(scope="module")
def world() -> World:
    """Six peers, a full-time cheater and a part-time cheater, after a conviction."""
    kinds = {1: "always-wrong", 4: "wrong"}
    world = make_world(6, seed=11, kinds=kinds, rate_ppm=500_000, slots_milli=1500, spot_check_permille=100)
    world.run_epochs(14)
    return world


@pytest.fixture(scope="module")
def records(world: World) -> list[Record]:
    """All records that the first peer holds."""
    return list(world.peers[0].machine.context.ledger.records())


def take_all(fold: Fold, records: list[Record]) -> None:
    """Take records in this order. Known records change nothing."""
    for record in records:
        try:
            added = fold.ledger.add(record)
        except GossipIgnore:
            continue
        for found in added:
            fold.take(found)
    fold.settle()


def fold_of(network: Network, records: list[Record]) -> Fold:
    fold = Fold(network, Ledger())
    take_all(fold, records)
    return fold


def test_the_cheaters_are_convicted_and_nobody_else(world: World) -> None:
    """The fixture is right: every final view convicts the full-time cheater."""
    for peer in world.peers:
        assert 1 in convicted(world, peer.number)
        assert convicted(world, peer.number) <= {1, 4}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_shuffled_and_repeated_records_give_the_same_view(world: World, records: list[Record], seed: int) -> None:
    """Any order, with repetitions, gives the same certified cut and the same view bytes."""
    dice = random.Random(seed)
    mixed = records + dice.sample(records, len(records) // 3)
    dice.shuffle(mixed)
    expected = world.peers[0].machine.fold.latest
    found = fold_of(world.network, mixed).latest
    assert found.id == expected.id
    assert view_head(world.network, found) == view_head(world.network, expected)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_settling_after_each_record_gives_the_same_view(world: World, records: list[Record], seed: int) -> None:
    mixed = list(records)
    random.Random(seed).shuffle(mixed)
    fold = Fold(world.network, Ledger())
    for record in mixed:
        for found in fold.ledger.add(record):
            fold.take(found)
        fold.settle()
    assert fold.latest.id == world.peers[0].machine.fold.latest.id


def test_proposals_on_the_newest_cut_cost_nothing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can make them. A later record has only the cut looked at that it belongs to."""
    book, identities = Book(make_network(seeds(4, "many"))), seeds(4, "many")
    for number in range(50):
        book.say(
            identities[0],
            Kind.CUT,
            replace(book.proposal(identities[0], 1), view_root=bytes([number] * 32)).encode(),
            1,
        )
    looked: list[bytes] = []
    certify = Fold._certify

    def look(fold: Fold, cut: bytes) -> State | None:
        looked.append(cut)
        return certify(fold, cut)

    monkeypatch.setattr(Fold, "_certify", look)
    proposed = book.say(identities[1], Kind.CUT, book.proposal(identities[1], 1).encode(), 1)
    book.say(identities[1], Kind.CUT_SIGNATURE, CutSignature(proposed.id).encode(), 1)
    assert looked == [proposed.id] * 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), share_kept=st.floats(0.1, 0.9))
def test_split_and_merged_sets_give_the_same_view(
    world: World, records: list[Record], seed: int, share_kept: float
) -> None:
    """Two halves that are folded separately and then merged give the view of the whole. No state in between contradicts
    it."""
    dice = random.Random(seed)
    left = [r for r in records if dice.random() < share_kept]
    fold = Fold(world.network, Ledger())
    convicted: set[bytes] = set()
    for part in (left, records):
        take_all(fold, part)
        now = {peer for peer, m in fold.latest.members.items() if m.is_convicted}
        assert convicted <= now
        convicted = now
    assert view_root(world.network, fold.latest) == view_root(world.network, world.peers[0].machine.fold.latest)


def test_every_final_view_on_the_path_is_the_signed_one(world: World, records: list[Record]) -> None:
    """The peers finalised the same cuts, and no conviction disappears along the path."""
    finals = [peer.machine.fold.latest.path[1:] for peer in world.peers]
    shortest = min(len(f) for f in finals)
    assert shortest > 8
    longest = max(finals, key=len)
    assert all(set(f[: shortest - 2]) <= set(longest) for f in finals)
    convicted: set[bytes] = set()
    fold = fold_of(world.network, records)
    for cut_id in fold.latest.path[1:]:
        state = fold.state(cut_id)
        assert state is not None
        now = {peer for peer, m in state.members.items() if m.is_convicted}
        assert convicted <= now
        convicted = now


def test_an_export_verifies_and_a_changed_one_does_not(world: World, records: list[Record]) -> None:
    """The records alone give the view. Without a certificate or one record, verification fails."""
    network, latest = world.network, world.peers[0].machine.fold.latest
    data = [record.data for record in records]
    verified = verify(network.id, network.encode(), latest.id, data)
    assert verified.cut.view_root == view_root(network, latest)
    with pytest.raises(VerificationFailed, match="before it is missing"):
        verify(network.id, network.encode(), latest.id, data[1:])
    with pytest.raises(VerificationFailed, match="not in the file"):
        verify(network.id, network.encode(), bytes(32), data)
    unsigned = [r.data for r in records if not (r.kind == 10 and r.payload.find(latest.id) >= 0)]
    with pytest.raises(VerificationFailed, match=r"certificate|missing"):
        verify(network.id, network.encode(), latest.id, unsigned)
    other = make_world(3, seed=5).network
    with pytest.raises(VerificationFailed, match="not that of the network id"):
        verify(other.id, network.encode(), latest.id, data)
    with pytest.raises(VerificationFailed, match="wrong network"):
        verify(other.id, other.encode(), latest.id, data)


def test_flipping_a_byte_of_any_record_is_found(world: World, records: list[Record]) -> None:
    """One changed bit in any record makes verification fail."""
    network, latest = world.network, world.peers[0].machine.fold.latest
    data = [record.data for record in records]
    dice = random.Random(3)
    for number in dice.sample(range(len(data)), 12):
        changed = bytearray(data[number])
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        with pytest.raises(VerificationFailed) as failed:
            verify(network.id, network.encode(), latest.id, [*data[:number], bytes(changed), *data[number + 1 :]])
        assert failed.value.number is not None


def test_a_late_joiner_ends_with_the_same_records(world: World) -> None:
    """A peer with an empty disk gets the others' set by exchanging frontiers."""
    other = make_world(5, seed=12)
    other.run_epochs(1)
    other.stop(other.peers[3])
    other.peers[3].disk = Disk(0)
    other.run_epochs(5)
    other.start(other.peers[3])
    other.run_epochs(4)
    heads = {peer.machine.fold.latest.id for peer in other.peers}
    assert len(heads) <= 2  # the newest record may still be on its way
    assert other.peers[3].machine.fold.latest.index >= other.peers[0].machine.fold.latest.index - 1
    assert [decode_record(r.data).id for r in other.peers[3].machine.context.ledger.records()]


def test_a_crashed_peer_goes_on_without_a_fork() -> None:
    """A peer that stops in the middle of an epoch and restarts from its disk never signs one number twice."""
    world = make_world(5, seed=21, kinds={2: "always-wrong"}, slots_milli=1500)
    world.run_epochs(4.3)
    world.stop(world.peers[0])
    world.run_epochs(1.4)
    world.start(world.peers[0])
    world.run_epochs(9)
    for peer in world.peers:
        assert peer.machine.context.ledger.statistics()["forked"] == 0
        assert convicted(world, peer.number) == {2}
    views = {view_root(world.network, p.machine.fold.state(final(world, 1).path[-2])) for p in world.peers}  # type: ignore[arg-type]
    assert len(views) == 1


def test_an_honest_network_convicts_nobody() -> None:
    """Without cheaters there are no dissents, and every peer is audited."""
    world = make_world(5, seed=31, slots_milli=1500, spot_check_permille=200)
    world.run_epochs(12)
    members = world.peers[0].machine.fold.latest.members
    assert all(m.dissents == 0 and m.agreements > 5 and m.no_shows <= 2 for m in members.values())
    assert world.peers[0].machine.fold.latest.totals["decided disputes"] > 0


def test_signatures_of_nothing_do_not_pile_up(
    world: World, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signatures and proposals that can no longer certify anything are removed. The newest are kept for a while."""
    monkeypatch.setattr("p2pverify.core.replica.fold.PENDING_EPOCHS", 4)
    (stranger,) = seeds(1, "stranger")
    key, count = sign.public_key(stranger), 20 * PENDING_MIN
    sizes = []
    for age in (5, 4):
        fold = fold_of(world.network, records)
        before = len(fold._pending)
        assert before <= PENDING_MIN
        for number in range(count):
            payload = CutSignature(number.to_bytes(32, "big")).encode()
            epoch = fold.latest.epoch - age
            fold.take(
                make_record(
                    stranger,
                    key,
                    world.network.id,
                    epoch=epoch,
                    seq=number,
                    prev=bytes(32),
                    kind=Kind.CUT_SIGNATURE,
                    payload=payload,
                )
            )
        latest = fold.latest
        fold.settle()
        assert fold.latest is latest
        sizes.append(len(fold._pending) - before)
    assert sizes[0] <= 0
    assert sizes[1] > count - PENDING_MIN  # some of the network's own may be removed
