"""Certified cuts are nested for any order of delivery, as long as less than a third of the weight signs conflicting
cuts.

A state machine drives honest members and one hostile member. The hostile member proposes arbitrary sets on any base and
signs everything. Records reach any member at any time, in any order, or not at all.
"""

import itertools
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import vrf
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.events import Publish, RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.cut import Cut, CutSignature, Head, decode_cut_signature
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.written import write

MEMBERS = 4  # three honest, one hostile: less than a third of the weight


class HostileProposer(RuleBasedStateMachine):
    """Honest machines under a hostile schedule."""

    @initialize(salt=st.integers(0, 3))
    def start(self, salt: int) -> None:
        identities = seeds(MEMBERS, f"nested-{salt}")
        self.network = make_network(identities)
        self.now = self.network.params.genesis_ms
        self.machines = [Machine(self.network, seed, 0, MANIFEST, 64) for seed in identities]
        self.honest, self.hostile = self.machines[:-1], self.machines[-1]
        self.pool: list[bytes] = []
        self.signed: set[bytes] = set()
        for machine in self.machines:
            self.tick(machine)

    def tick(self, machine: Machine) -> None:
        for effect in machine.handle(Tick(), self.now):
            if isinstance(effect, Publish):
                self.publish(effect.records)

    def publish(self, records: tuple[bytes, ...]) -> None:
        """All records reach the hostile member at once."""
        self.pool += records
        for data in records:
            self.feed(self.hostile, data)

    def feed(self, machine: Machine, data: bytes) -> None:
        for effect in machine.handle(RecordsArrived((data,), bytes(32)), self.now):
            if isinstance(effect, Publish):
                self.publish(effect.records)

    @rule(milliseconds=st.integers(100, 3000), which=st.integers(0, MEMBERS - 2))
    def time_passes(self, milliseconds: int, which: int) -> None:
        self.now += milliseconds
        self.tick(self.honest[which])

    @rule(which=st.integers(0, MEMBERS - 2), number=st.integers(0, 10_000))
    def deliver_one(self, which: int, number: int) -> None:
        if self.pool:
            self.feed(self.honest[which], self.pool[number % len(self.pool)])

    @rule(which=st.integers(0, MEMBERS - 2), share=st.integers(1, 4), shift=st.integers(0, 3))
    def deliver_some(self, which: int, share: int, shift: int) -> None:
        for data in list(self.pool)[shift::share]:
            self.feed(self.honest[which], data)
        self.tick(self.honest[which])

    @rule()
    def everybody_catches_up(self) -> None:
        """Deliver all records and advance the time until the next proposals."""
        self.now += self.network.params.epoch_ms // 3
        for machine in self.honest:
            for data in list(self.pool):
                self.feed(machine, data)
            self.tick(machine)

    @rule(back=st.integers(0, 3), cuts=st.lists(st.integers(0, 3), min_size=MEMBERS, max_size=MEMBERS))
    def hostile_proposes(self, back: int, cuts: list[int]) -> None:
        """The hostile member proposes any set on any certified base, with a valid proof and correct roots."""
        context = self.hostile.context
        fold = context.fold
        keep = fold.latest
        base = fold.state(keep.path[max(0, len(keep.path) - 1 - back)])
        if base is None or not context.may_write(self.now):
            return
        epoch = context.params.epoch_at(self.now)
        proof = vrf.prove(context.vrf_seed, sortition.propose_alpha(context.network_id, epoch, base.beacon))
        moved: list[Head] = []
        for head, short in zip(context.ledger.heads(), cuts, strict=False):
            seq = max(0, head[1] - short)
            chosen = (head[0], seq, context.ledger.ancestor(head, seq))
            moved += [chosen] if base.heads.get(head[0]) != chosen else []
        fold.latest = base
        cut = fold.propose(
            Cut(epoch, base.id, context.vrf_key, proof, tuple(moved), bytes(32), bytes(32), bytes(32)), self.hostile.key
        )
        fold.latest = keep
        if cut is not None:
            self.hostile_signs_cut(self.written(Kind.CUT, cut.encode()).id)

    @rule()
    def hostile_signs_everything(self) -> None:
        for record in list(self.hostile.context.ledger.records()):
            if record.kind == Kind.CUT:
                self.hostile_signs_cut(record.id)

    def hostile_signs_cut(self, cut_id: bytes) -> None:
        context = self.hostile.context
        if cut_id not in self.signed and context.may_write(self.now):
            self.signed.add(cut_id)
            self.written(Kind.CUT_SIGNATURE, CutSignature(cut_id).encode())

    def written(self, kind: Kind, payload: bytes) -> Record:
        """The hostile author's next record, for everybody to take."""
        record = write(self.hostile.context, kind, payload, self.now)
        self.pool.append(record.data)
        return record

    @invariant()
    def certified_cuts_are_nested(self) -> None:
        """Of any two cuts that are certified at any member, one contains the other."""
        if not hasattr(self, "machines"):
            return
        certified: dict[bytes, dict[bytes, Head]] = {}
        for machine in self.honest:
            fold = machine.fold
            for cut_id in fold.latest.path[1:]:
                state = fold.state(cut_id)
                assert state is not None
                certified[cut_id] = state.heads
        ledger = self.hostile.context.ledger
        ordered = sorted(certified.values(), key=lambda heads: sum(head[1] + 1 for head in heads.values()))
        for smaller, larger in itertools.pairwise(ordered):
            assert ledger.extends(larger, smaller.values())

    @invariant()
    def honest_members_are_never_convicted(self) -> None:
        if not hasattr(self, "machines"):
            return
        keys = {machine.key for machine in self.honest}
        for machine in self.honest:
            assert not any(m.is_convicted for key, m in machine.fold.latest.members.items() if key in keys)


TestHostileProposer = HostileProposer.TestCase
TestHostileProposer.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)


def test_a_certificate_of_half_the_weight_certifies_nothing() -> None:
    """Two of four signatures are less than two thirds of the weight."""
    identities = seeds(MEMBERS, "half")
    network = make_network(identities)
    machines = [Machine(network, seed, 0, MANIFEST, 64) for seed in identities]
    now = network.params.genesis_ms
    pool: list[bytes] = []
    for _ in range(12):
        now += network.params.epoch_ms // 6
        for machine in machines[:2]:
            effects = machine.handle(RecordsArrived(tuple(pool), bytes(32)), now)
            pool += [data for e in effects if isinstance(e, Publish) for data in e.records]
    kinds = [decode_record(data).kind for data in pool]
    assert kinds.count(Kind.CUT) >= 1
    assert kinds.count(Kind.CUT_SIGNATURE) >= 2
    assert all(machine.fold.latest is machine.fold.genesis for machine in machines)
    late = Machine(network, identities[2], 0, MANIFEST, 64)
    rules = Rules(network, network.id, 10)
    assert all(judge(data, rules) for data in pool)
    late.handle(RecordsArrived(tuple(pool), bytes(32)), now)
    assert late.fold.latest is late.fold.genesis


def test_proposals_with_a_false_view_are_signed_by_nobody() -> None:
    """A cut whose view root does not follow from the records gets no honest signature."""
    identities = seeds(MEMBERS, "false view")
    network = make_network(identities)
    machines = [Machine(network, seed, 0, MANIFEST, 64) for seed in identities]
    now = network.params.genesis_ms
    pool: list[bytes] = []
    for machine in machines:
        pool += [d for e in machine.handle(Tick(), now) if isinstance(e, Publish) for d in e.records]
    hostile = machines[3].context
    for data in pool:
        try:
            hostile.ledger.add(decode_record(data))
        except GossipIgnore:
            continue
    proof = vrf.prove(hostile.vrf_seed, sortition.propose_alpha(network.id, 0, hostile.fold.latest.beacon))
    cut = hostile.fold.propose(
        Cut(0, network.id, hostile.vrf_key, proof, hostile.ledger.heads(), bytes(32), bytes(32), bytes(32)), hostile.key
    )
    assert cut is not None
    false = write(hostile, Kind.CUT, replace(cut, view_root=bytes(32)).encode(), now)
    pool.append(false.data)
    now += network.params.epoch_ms * 4 // 5  # late enough that proposals of all ranks are considered
    signatures = []
    for machine in machines[:3]:
        machine.handle(RecordsArrived(tuple(pool), bytes(32)), now)
        effects = machine.handle(Tick(), now + network.params.epoch_ms // 10)
        signatures += [d for e in effects if isinstance(e, Publish) for d in e.records]
    written = [decode_record(data) for data in signatures]
    signed = {decode_cut_signature(r.payload).cut for r in written if r.kind == Kind.CUT_SIGNATURE}
    assert false.id not in signed
    for machine in machines[:3]:
        assert machine.fold.state(false.id) is None
        assert machine.fold.fault(false.id) == "the view root is not what the records give"
