"""Halves that admitted different newcomers, and proofs that are held before their authors' joins."""

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.events import RecordsArrived
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.conflict import Conflict, Evidence
from p2pverify.core.records.payloads.cut import Cut, Head, decode_cut
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.states import NEW_AUTHORS_MAX, new_authors_max
from p2pverify.core.state.state import Member, genesis
from p2pverify.core.state.transition import Frame, Transition, class_steps
from tests.core.replica.test_forked_logs import Room
from tests.support.networks import make_network, seeds


def _join(network_id: bytes, seed: bytes, epoch: int = 0) -> Record:
    payload = Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
    return make_record(
        seed, sign.public_key(seed), network_id, epoch=epoch, seq=0, prev=NO_PREV, kind=Kind.JOIN, payload=payload
    )


def _tell(machines: list[Machine], records: list[Record], now_ms: int) -> None:
    for machine in machines:
        machine.handle(RecordsArrived(tuple(record.data for record in records), bytes(32)), now_ms)


def _split(room: Room, newcomers: int) -> tuple[list[list[Machine]], list[list[bytes]]]:
    """The quarters of a room, which are separated now, and the newcomers that each quarter has heard of."""
    quarters = [room.machines[at : at + 2] for at in range(0, 8, 2)]
    crowds = [seeds(newcomers, f"quarter {number}") for number in range(4)]
    for quarter, crowd in zip(quarters, crowds, strict=True):
        _tell(quarter, [_join(room.network.id, seed) for seed in crowd], room.now)
    room.talk(quarters, 1)
    return quarters, crowds


def test_parts_that_took_in_different_newcomers_meet_however_many_more_join() -> None:
    """Four times as many newcomers as a cut admits are split between the quarters, and many more are known to all.
    Newcomers that any quarter admitted go first, so a cut with all of them comes soon."""
    room = Room(8, "newcomers")
    room.talk([room.machines], 1)
    _, crowds = _split(room, NEW_AUTHORS_MAX)
    before = room.machines[0].fold.latest
    assert len({machine.fold.latest.id for machine in room.machines}) == 1
    assert all(sign.public_key(seed) not in before.heads for crowd in crowds for seed in crowd)
    for number in range(6):  # in each epoch, more peers join than a cut admits
        crowd = seeds(2 * NEW_AUTHORS_MAX, f"crowd {number}")
        _tell(room.machines, [_join(room.network.id, seed) for seed in crowd], room.now)
        room.talk([room.machines], 1)
    states = [machine.fold.latest for machine in room.machines]
    assert min(state.epoch for state in states) > before.epoch + 4
    assert all(sign.public_key(seed) in state.members for state in states for crowd in crowds for seed in crowd)


def test_proposals_of_the_parts_hold_the_newcomers_of_all_before_all_others() -> None:
    """Until there is a cut with room for all, each quarter adds the newcomers of the other quarters, and no others."""
    room = Room(8, "order")
    room.talk([room.machines], 1)
    quarters, _ = _split(room, 80)
    taken = [_newcomers(quarter[0]) for quarter in quarters]
    assert [len(found) for found in taken] == [NEW_AUTHORS_MAX] * 4  # together, more than the next cut admits
    before = room.machines[0].fold.latest
    crowd = seeds(40, "crowd")
    _tell(room.machines, [_join(room.network.id, seed) for seed in crowd], room.now)
    room.talk([room.machines], 4)
    latest = room.machines[0].fold.latest
    assert latest.epoch > before.epoch
    first = [decode_cut(r.payload) for m in room.machines for r in m.context.ledger.chain(m.key) if r.kind == Kind.CUT]
    first = [cut for cut in first if cut.base == before.id and cut.epoch > before.epoch + 1]
    assert first
    all_taken = frozenset().union(*taken)
    for cut in first:
        new = {head[0] for head in cut.moved} - before.heads.keys()
        assert len(new) <= new_authors_max(before.epoch, cut.epoch)
        assert new <= all_taken or all_taken <= new


def _newcomers(machine: Machine) -> set[bytes]:
    """The newcomers in the newest proposal that this member and its half signed."""
    fold = machine.fold
    newest = max(fold.signed_on(fold.latest), key=lambda record: record.epoch)
    return {head[0] for head in decode_cut(newest.payload).moved} - fold.latest.heads.keys()


def test_a_proof_that_a_cut_holds_before_the_join_counts_with_the_join() -> None:
    """A cut beside it may have held both at once. A cut that contains the two must not convict a signer of that cut."""
    room = Room(1, "early proof")
    machine = room.machines[0]
    room.talk([[machine]], 1)
    seed = seeds(1, "forker")[0]
    sides = sorted((_join(room.network.id, seed, epoch) for epoch in (0, 1)), key=lambda record: record.id)
    one, two = (Evidence(record.header, record.signature, None) for record in sides)
    context = machine.context
    room.add(context, Kind.CONFLICT, Conflict(one, two).encode())
    room.talk([[machine]], 2)
    assert sides[0].author in machine.fold.latest.early_conflicts
    _tell([machine], sides[:1], room.now)
    room.talk([[machine]], 2)
    latest = machine.fold.latest
    assert latest.members[sides[0].author].forks == {0}
    assert latest.members[sides[0].author].fork_until >= room.network.params.fork_epochs
    assert not latest.early_conflicts
    assert latest.totals["forks"] == 1


def test_who_signed_a_branch_that_a_cut_proves_to_be_forked_is_not_convicted_for_leaving_it() -> None:
    """Signers need not contain a branch that is proven to be forked, so leaving it is no offence."""
    network = make_network(seeds(1))
    base = genesis(network)
    forker, other = bytes([1]) * 32, bytes([2]) * 32
    cuts = {}
    for name, (seq, far) in {b"inner": (5, 3), b"outer": (2, 3), b"short": (5, 2)}.items():
        moved: tuple[Head, ...] = ((forker, seq, bytes(32)), (other, far, bytes(32)))
        cuts[name] = Cut(1, base.id, bytes(32), bytes(80), moved, bytes(32), bytes(32), bytes(32))

    def nested(inner: bytes, outer: bytes, *forks: int) -> bool:
        state = base.successor(bytes(32), 2, {})
        state.cuts = dict(cuts)
        state.members[forker] = Member(forks=frozenset(forks))
        frame = Frame(lambda cuts: [None] * len(cuts))
        return Transition(network, network.id, base, state, frame, class_steps(network)).is_nested(inner, outer)

    assert not nested(b"inner", b"outer")
    assert nested(b"inner", b"outer", 3)
    assert nested(b"inner", b"outer", 5)
    assert not nested(b"inner", b"outer", 6)  # the fork begins after the signed records
    assert not nested(b"inner", b"short", 3)  # the fork does not excuse the other log
    assert nested(b"outer", b"inner")
