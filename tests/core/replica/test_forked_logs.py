"""An author that shows one branch of its log to each half of the members delays only itself.

Below a third of hostile weight, cuts go on, whatever a hostile member signs. If two certified cuts are beside each
other, all members choose the same one.
"""

import itertools
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import vrf
from p2pverify.core.events import Publish, RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record, decode_record, make_record
from p2pverify.core.records.payloads.cut import Cut, CutSignature, decode_cut_signature
from p2pverify.core.roles.context import Context
from tests.core.replica.test_nested_cuts import HostileProposer
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.written import write

MEMBERS = 7


class Room:
    """Machines that share all records at once, in rounds of a tenth of an epoch."""

    def __init__(self, count: int, salt: str) -> None:
        self.identities = seeds(count, salt)
        self.network = make_network(self.identities)
        self.now = self.network.params.genesis_ms
        self.machines = [self.machine(n) for n in range(count)]

    def machine(self, number: int) -> Machine:
        return Machine(self.network, self.identities[number], 0, MANIFEST, 64)

    def talk(self, groups: Sequence[Sequence[Machine]], epochs: int) -> None:
        """The machines of one group share all their records."""
        for _ in range(10 * epochs):
            self.now += self.network.params.epoch_ms // 10
            for group in groups:
                held = {r.id: r for machine in group for r in machine.context.ledger.records()}
                for machine in group:
                    ledger = machine.context.ledger
                    lacking = sorted((r for r in held.values() if r.id not in ledger), key=lambda r: (r.author, r.seq))
                    machine.handle(RecordsArrived(tuple(r.data for r in lacking), bytes(32)), self.now)
                    machine.handle(Tick(), self.now)

    def add(self, context: Context, kind: Kind, payload: bytes) -> Record:
        return write(context, kind, payload, self.now)


def test_halves_that_saw_different_branches_come_together_again() -> None:
    """Each half has signed cuts with another branch of the hostile log. No cut can hold both branches, but a cut that
    proves the fork binds no member to a branch."""
    room = Room(MEMBERS, "branches")
    room.talk([room.machines], 1)
    two_faced, other_face = room.machines[-1], room.machine(MEMBERS - 1)
    room.talk([[two_faced, other_face]], 1)
    for number, face in enumerate((two_faced, other_face)):
        room.add(face.context, Kind.CUT_SIGNATURE, CutSignature(bytes([number]) * 32).encode())
    halves = [[*room.machines[:3], two_faced], [*room.machines[3:6], other_face]]
    room.talk(halves, 2)
    honest = room.machines[:-1]
    assert all(_signed(machine) >= 2 for machine in honest)  # so the halves are bound to their branches
    before = max(machine.fold.latest.epoch for machine in honest)
    room.talk([honest], 6)
    states = [machine.fold.latest for machine in honest]
    assert min(state.epoch for state in states) > before + 2
    assert len({state.id for state in states}) == 1
    members = states[0].members
    assert members[two_faced.key].forks
    assert not any(members[machine.key].is_convicted for machine in honest)


def _signed(machine: Machine) -> int:
    return sum(record.kind == Kind.CUT_SIGNATURE for record in machine.context.ledger.chain(machine.key))


def test_nobody_takes_an_epoch_by_being_early() -> None:
    """A proposal is considered at the time of its rank, even if it came earlier."""
    room = Room(4, "early")
    room.talk([room.machines], 1)
    params = room.network.params
    latest = room.machines[0].fold.latest
    epoch = params.epoch_at(room.now) + 1
    room.now = params.epoch_start_ms(epoch) + 1
    ranked = sorted(room.machines, key=lambda m: sortition.proposal_rank(vrf.proof_to_beta(_proof(m, epoch))))
    hasty, observer = ranked[-1], ranked[0]
    cut = _cut(hasty, epoch)
    early = room.add(hasty.context, Kind.CUT, cut.encode())
    signed: list[bytes] = []
    observer.handle(RecordsArrived((early.data,), bytes(32)), room.now)
    while params.epoch_at(room.now) == epoch and not signed:
        room.now += params.epoch_ms // 20
        for effect in observer.handle(Tick(), room.now):
            records = [decode_record(data) for data in effect.records] if isinstance(effect, Publish) else []
            signed += [decode_cut_signature(r.payload).cut for r in records if r.kind == Kind.CUT_SIGNATURE]
    own = [r.id for r in observer.context.ledger.chain(observer.key) if r.kind == Kind.CUT and r.epoch == epoch]
    assert latest.id == observer.fold.latest.id
    assert signed == own != [early.id]  # the proposal of the better rank was signed


def _proof(machine: Machine, epoch: int) -> bytes:
    context = machine.context
    return vrf.prove(context.vrf_seed, sortition.propose_alpha(context.network_id, epoch, machine.fold.latest.beacon))


def _cut(machine: Machine, epoch: int) -> Cut:
    latest = machine.fold.latest
    moved = tuple(machine.context.ledger.moved(latest.heads))
    bare = Cut(
        epoch, latest.id, machine.context.vrf_key, _proof(machine, epoch), moved, bytes(32), bytes(32), bytes(32)
    )
    cut = machine.fold.propose(bare, machine.key)
    assert cut is not None
    return cut


def test_of_two_certified_cuts_on_one_base_all_take_the_larger() -> None:
    """A member that saw the smaller cut certified first takes the larger one too."""
    room = Room(4, "beside")
    room.talk([room.machines], 1)
    epoch = room.network.params.epoch_at(room.now) + 1
    room.now = room.network.params.epoch_start_ms(epoch)
    one, two, *_ = room.machines
    small = room.add(one.context, Kind.CUT, _cut(one, epoch).encode())
    shared = [r.data for r in one.context.ledger.records()]
    for machine in room.machines[1:]:
        machine.context.ledger.add(small)
    signatures = {small.id: _sign_all(room, small.id)}
    two.handle(RecordsArrived(tuple(r.data for r in signatures[small.id][:2]), bytes(32)), room.now)
    large = room.add(two.context, Kind.CUT, _cut(two, epoch).encode())
    signatures[large.id] = _sign_all(room, large.id)
    everything = [*shared, small.data, *(r.data for r in signatures[small.id]), large.data]
    first = room.machine(0)
    first.handle(RecordsArrived(tuple(everything), bytes(32)), room.now)
    assert first.fold.latest.id == small.id
    first.handle(RecordsArrived(tuple(r.data for r in signatures[large.id]), bytes(32)), room.now)
    assert first.fold.latest.id == large.id
    last = room.machine(1)
    last.handle(RecordsArrived((*everything, *(r.data for r in signatures[large.id])), bytes(32)), room.now)
    assert last.fold.latest.id == large.id


def _sign_all(room: Room, cut: bytes) -> list[Record]:
    return [room.add(machine.context, Kind.CUT_SIGNATURE, CutSignature(cut).encode()) for machine in room.machines[:3]]


class ForkingProposer(HostileProposer):
    """The hostile member of `test_nested_cuts`, which also forks its log and shows each branch to chosen members."""

    @rule(back=st.integers(0, 2), length=st.integers(1, 3))
    def hostile_forks(self, back: int, length: int) -> None:
        """Sign some records beside the published ones. Its machine continues the first branch."""
        context = self.hostile.context
        head = context.ledger.head(self.hostile.key)
        if head is None or head[1] <= back:
            return
        seq = head[1] - back
        prev = context.ledger.ancestor(head, seq - 1)
        epoch = max(0, context.params.epoch_at(self.now))
        for number in range(length):
            twin = make_record(
                context.seed,
                context.key,
                context.network_id,
                epoch=epoch,
                seq=seq + number,
                prev=prev,
                kind=Kind.CUT_SIGNATURE,
                payload=CutSignature(bytes([number, len(self.pool) % 256]) * 16).encode(),
            )
            prev = twin.id
            self.pool.append(twin.data)

    @invariant()
    def certified_cuts_are_nested(self) -> None:
        """Of two certified cuts, one contains the other, except for branches that it proves to be forked."""
        if not hasattr(self, "machines"):
            return
        for one, two in itertools.combinations(self.honest, 2):
            mine, theirs = one.fold.latest, two.fold.latest
            if mine.id == theirs.id or one.fold.ledger.lacks(theirs.heads.values()) is not None:
                continue
            assert one.fold.contains(mine, theirs) or one.fold.contains(theirs, mine)

    @invariant()
    def nothing_final_is_lost(self) -> None:
        """A conviction that is final at an honest member also stands at all members whose final cut contains that
        member's cut."""
        if not hasattr(self, "machines"):
            return
        for one, two in itertools.permutations(self.honest, 2):
            mine, theirs = one.fold.latest, two.fold.latest
            if one.fold.ledger.extends(mine.heads, theirs.heads.values()):
                assert theirs.convicted <= mine.convicted

    def teardown(self) -> None:
        """Once all records are delivered, cuts go on, because the honest members have three quarters of the weight."""
        if not hasattr(self, "machines"):
            return
        before = max(machine.fold.latest.epoch for machine in self.honest)
        given = [0 for _ in self.honest]
        for _ in range(60):
            self.now += self.network.params.epoch_ms // 6
            for number, machine in enumerate(self.honest):
                new, given[number] = tuple(self.pool[given[number] :]), len(self.pool)
                for effect in machine.handle(RecordsArrived(new, bytes(32)), self.now):
                    if isinstance(effect, Publish):
                        self.publish(effect.records)
                self.tick(machine)
        assert all(machine.fold.latest.epoch > before + 3 for machine in self.honest)


TestForkingProposer = ForkingProposer.TestCase
TestForkingProposer.settings = settings(max_examples=4, stateful_step_count=25, deadline=None)
