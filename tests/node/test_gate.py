"""The gate: a neighbour's share of this peer's time, non-members' records, and the peers excluded from the mesh."""

from dataclasses import replace

import pytest
import trio

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import Effect, Event, Finalised, Judged, RecordsArrived
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.membership import Join
from p2pverify.core.replica import non_members
from p2pverify.node import gate
from p2pverify.node.driver import Driver
from p2pverify.node.gate import Admission
from p2pverify.node.messages import encode_batches
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork, ScriptedMachine
from tests.support.world import World, make_network, seeds

IDENTITIES = seeds(3)
NETWORK = make_network(IDENTITIES)
MEMBER = sign.public_key(IDENTITIES[1])
STRANGER = b"s" * 32


def _join(name: str) -> Record:
    (seed,) = seeds(1, name)
    payload = Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
    return make_record(
        seed, sign.public_key(seed), NETWORK.id, epoch=0, seq=0, prev=NO_PREV, kind=Kind.JOIN, payload=payload
    )


def _message(*records: Record) -> bytes:
    (message,) = encode_batches([record.data for record in records])
    return message


def _accepts(event: Event) -> list[Effect]:
    return [Judged(GossipVerdict.ACCEPT, ())] if isinstance(event, RecordsArrived) else []


class Bench:
    """A driver whose machine accepts everything, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_ms = 10_000
        self.machine = ScriptedMachine(NETWORK, IDENTITIES[0])
        self.machine.script = _accepts
        self.network = FakeNetwork()
        self.driver = Driver(self.machine, FakeJournal([]), FakeEngine(), clock=lambda: self.now_ms)

    def burst(self, source: bytes, count: int) -> int:
        """The number of `count` equal messages of one neighbour that are judged."""
        message = _message(_join("one"))
        return sum(self.driver.judge(message, source) is GossipVerdict.ACCEPT for _ in range(count))


async def test_a_neighbour_uses_what_others_leave_and_no_more() -> None:
    """A flood of one non-member ends with the common pool. Its own share refills with time, and members have their
    shares."""
    bench = Bench()
    checks = 2  # the checks of a join
    assert bench.burst(STRANGER, 10_000) == gate.POOL_OF_STRANGERS.burst // checks
    assert bench.burst(b"t" * 32, 100) == 0
    assert bench.burst(MEMBER, 100) == 100
    assert bench.driver.statistics()["batches beyond a neighbour's share"] == 10_000 - 3000 + 100
    bench.now_ms += 1000
    own = gate.CHECKS.per_second // checks
    assert bench.burst(STRANGER, 10_000) == own + gate.POOL_OF_STRANGERS.per_second // checks
    assert bench.burst(b"t" * 32, 10_000) == own


async def test_all_neighbours_together_take_half_a_core() -> None:
    """The sum of the rates is as their comment says, at a cautious 10,000 checks a second and core."""
    together = gate.NEIGHBOURS_MAX * gate.CHECKS.per_second
    together += gate.POOL_OF_MEMBERS.per_second + gate.POOL_OF_STRANGERS.per_second
    assert 5000 <= together <= 6500


async def test_what_is_over_the_share_is_ignored_and_not_judged() -> None:
    """The machine does not get the message, and no peer is blamed for it. The same message may come again."""
    bench = Bench()
    bench.burst(STRANGER, 3000)
    seen = len(bench.machine.events)
    assert bench.driver.judge(_message(_join("two")), STRANGER) is GossipVerdict.IGNORE
    assert len(bench.machine.events) == seen
    bench.now_ms += 1000
    assert bench.driver.judge(_message(_join("two")), STRANGER) is GossipVerdict.ACCEPT


async def test_what_sync_brings_costs_nobody_a_share() -> None:
    """A late joiner fetches missing records from one neighbour at its own pace."""
    bench = Bench()
    record = _join("one").data
    with trio.fail_after(10):
        for _ in range(20):
            await bench.driver.take_records((record,) * 512, STRANGER)
    taken = sum(len(event.records) for event in bench.machine.events if isinstance(event, RecordsArrived))
    assert taken == 20 * 512


async def test_a_batch_that_is_judged_in_part_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchecked records are not forwarded. The other records of the batch are accepted."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 0)
    bench = Bench()
    own = make_record(IDENTITIES[1], MEMBER, NETWORK.id, epoch=0, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80")
    assert bench.driver.judge(_message(_join("one")), MEMBER) is GossipVerdict.IGNORE
    assert bench.machine.events == []
    assert bench.driver.judge(_message(_join("one"), own), MEMBER) is GossipVerdict.IGNORE
    assert bench.machine.events == [RecordsArrived((own.data,), MEMBER)]
    assert bench.driver.judge(_message(own), MEMBER) is GossipVerdict.ACCEPT
    assert bench.driver.statistics()["records of strangers beyond their bound"] == 2


class _Recorded(World):
    """A world that notes the publication times of records."""

    def __init__(self, count: int) -> None:
        self.published: list[tuple[int, bytes, tuple[bytes, ...]]] = []
        super().__init__(count)

    def _carry_out(self, peer: object, effect: object) -> None:
        records = getattr(effect, "records", ())
        if type(effect).__name__ == "Publish":
            self.published.append((self.now, peer.machine.key, records))  # type: ignore[attr-defined]
        super()._carry_out(peer, effect)  # type: ignore[arg-type]


def test_an_honest_network_is_not_slowed_down() -> None:
    """All records of eight peers in twenty epochs may come through one neighbour."""
    world = _Recorded(8)
    world.run_epochs(20)
    assert len(world.published) > 400
    for source in (world.peers[1].machine.key, STRANGER):
        listener = Admission(world.peers[0].machine)
        assert all(listener.affords(records, source, now_ms) for now_ms, _, records in world.published)
        assert listener.statistics()["strangers"] == 0
        assert all(listener.admit(records).records == records for _, _, records in world.published)


async def test_the_convicted_are_left_out_of_the_mesh(nursery: trio.Nursery) -> None:
    """A peer is excluded once a final cut convicts it, and at once after a restart. Other peers are not."""
    bench = Bench()
    fold = bench.machine.fold
    await nursery.start(bench.driver.run, bench.network)
    assert bench.network.excluded == []
    genesis = fold.latest
    convicted = replace(genesis.members[MEMBER], convicted_epoch=3)
    later = replace(genesis, members={**genesis.members, MEMBER: convicted})
    bench.machine.script = lambda event: [Finalised(b"c" * 32, 3)] if isinstance(event, RecordsArrived) else []
    bench.driver.judge(_message(_join("one")), STRANGER)
    assert bench.network.excluded == []
    fold.latest = later
    bench.driver.judge(_message(_join("two")), STRANGER)
    assert bench.network.excluded == [frozenset({MEMBER})]
    assert not bench.driver.is_member(MEMBER)
    assert bench.driver.is_member(sign.public_key(IDENTITIES[2]))
    assert not bench.driver.is_member(STRANGER)
    nursery.cancel_scope.cancel()
