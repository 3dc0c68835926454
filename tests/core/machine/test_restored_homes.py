"""Keys of homes that are restored from older copies, isolated, or empty never contradict themselves."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pverify.core.events import Persist
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.kinds import _claim
from p2pverify.core.records.payloads.conflict import Evidence
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.disk import Disk
from p2pverify.testnet.world.peer.peer import Peer
from tests.support.worlds import make_world

PEERS = 4


def said_by(world: World, name: int) -> list[Record]:
    """All records of a peer that any peer holds."""
    key = world.peers[name].machine.key
    found = {r.id: r for p in world.peers for r in p.machine.context.ledger.records() if r.author == key}
    return sorted(found.values(), key=lambda record: (record.seq, record.id))


def contradictions(world: World, name: int) -> list[tuple[object, Record]]:
    """Records that contradict another record of the same key on one slot, seal, vote or proposal."""
    said: dict[object, set[bytes]] = defaultdict(set)
    found = []
    for record in said_by(world, name):
        claim = _claim(Evidence(record.header, record.signature, record.payload))
        if claim is not None:
            said[claim[0]].add(claim[1])
            if len(said[claim[0]]) > 1:
                found.append((claim[0], record))
    return found


def are_nested(world: World, name: int) -> bool:
    """Whether of any two cuts that a peer has signed, one contains the other."""
    fold = world.peers[0].machine.fold
    signed = {decode_cut_signature(r.payload).cut for r in said_by(world, name) if r.kind == Kind.CUT_SIGNATURE}
    states = [state for cut in sorted(signed) if (state := fold.state(cut)) is not None]
    return all(fold.contains(a, b) or fold.contains(b, a) for a in states for b in states)


def never_contradicts(world: World) -> None:
    for peer in world.peers:
        assert contradictions(world, peer.number) == []
        assert are_nested(world, peer.number)
        assert all(not member.is_convicted for member in peer.machine.fold.latest.members.values())


def copy_of(disk: Disk) -> Disk:
    """A disk with the same contents."""
    records, answers, evidence = disk.read()
    made = Disk(0)
    made.write(Persist(tuple(map(decode_record, records)), tuple(answers), tuple(evidence)), 0)
    return made


quarters = st.integers(0, 14)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(1, 10_000),
    copied=quarters,
    lost=quarters,
    apart=quarters,
    again=quarters,
    empty=st.booleans(),
    lies=st.booleans(),
)
def test_a_restored_home_never_contradicts_what_it_had_signed(
    *, seed: int, copied: int, lost: int, apart: int, again: int, empty: bool, lies: bool
) -> None:
    """The home is copied at any time, lost later, isolated for any time, and perhaps restored again. No slot, seal,
    vote, proposal or cut is signed twice, and there is no fork."""
    kinds = {2: "wrong"} if lies else {}
    world = make_world(PEERS, seed=seed, kinds=kinds, rate_ppm=250_000, slots_milli=2500, spot_check_permille=300)
    world.run_epochs(3 + copied / 4)
    peer = world.peers[1]
    copy = Disk(0) if empty else copy_of(peer.disk)
    world.run_epochs(lost / 4)
    for off in (apart, again):
        world.stop(peer)
        peer.disk = copy_of(copy)
        world.links.split({1: 1}, world.peers)
        world.start(peer)
        world.run_epochs(off / 4)
        world.links.heal()
        world.run_epochs(off % 3)
    before = len(said_by(world, 1))
    world.run_epochs(6)
    assert len(said_by(world, 1)) > before
    assert not peer.machine.context.silence.stopped
    assert all(p.machine.context.ledger.statistics()["forked"] == 0 for p in world.peers)
    if not lies:
        never_contradicts(world)
    else:
        assert contradictions(world, 1) == []
        assert are_nested(world, 1)


def start_twin(world: World, *, alone: bool = False) -> Peer:
    """Start a second process of peer 1 with a copy of its home. It takes the place of the first one at two neighbours,
    because a peer has one link to a key."""
    original = world.peers[1]
    twin = Peer(world._around, len(world.peers), original.kind, original._make, skew_ms=0)
    twin.stop()
    twin.disk = copy_of(original.disk)
    world.peers.append(twin)
    world._dials.append([2, 3])
    for number in (2, 3):
        world.links.close(original.links[world.peers[number].key])
    world.run_epochs(0.02)
    world.start(twin)
    world.run_epochs(0.06)
    assert {world.peers[2].key, world.peers[3].key} <= set(twin.links)
    if alone:
        twin.machine.context.silence.begin(world.now_ms, alone=True)
    return twin


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(1, 10_000), copied=quarters)
def test_a_twin_that_only_sees_records_stops_or_takes_over(*, seed: int, copied: int) -> None:
    """No connection shows the other process, but its records do: one of the two stops, and the other goes on.

    Nearly always the twin stops, before it has signed anything. It takes over if the other process writes nothing from
    the start of the twin to its first record.
    """
    world = make_world(PEERS, seed=seed, slots_milli=2500)
    world.run_epochs(3 + copied / 4)
    twin = start_twin(world)
    before = len(said_by(world, 1))
    world.run_epochs(5)
    stopped = [peer for peer in (world.peers[1], twin) if peer.machine.context.silence.stopped]
    assert stopped
    if not twin.machine.context.has_signed:
        assert stopped == [twin]
        assert len(said_by(world, 1)) > before
        assert all(p.machine.context.ledger.statistics()["forked"] == 0 for p in world.peers)
    never_contradicts(world)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_twins_that_have_both_signed_at_most_one_goes_on(seed: int) -> None:
    """One twin was told wrongly that it is alone. A twin that sees a record of the other signs nothing more."""
    world = make_world(PEERS, seed=seed, slots_milli=2500)
    world.run_epochs(3 + seed / 4)
    both = (world.peers[1], start_twin(world, alone=True))
    world.run_epochs(4)
    stopped = [peer for peer in both if peer.machine.context.silence.stopped]
    assert stopped
    if len(stopped) == len(both):
        before = len(said_by(world, 1))
        world.run_epochs(3)
        assert len(said_by(world, 1)) == before
