"""Admission: a neighbour's share of this peer's time, and what is held of strangers."""

import pytest

from p2pverify.core import admission
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import GossipArrived, Judged, Persist, Publish, RecordBatch, RecordsArrived
from p2pverify.core.machine import Machine
from p2pverify.core.records import judge
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.strangers import non_members
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.worlds import make_world, watching

IDENTITIES = seeds(3)
NETWORK = make_network(IDENTITIES)
MEMBER = sign.public_key(IDENTITIES[1])
STRANGER = b"s" * 32
OTHER = b"t" * 32
SHARE = "batches beyond a neighbour's share"
TABLE = "records of strangers beyond their bound"


def _join(name: str) -> Record:
    (seed,) = seeds(1, name)
    payload = Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
    return make_record(
        seed, sign.public_key(seed), NETWORK.id, epoch=0, seq=0, prev=NO_PREV, kind=Kind.JOIN, payload=payload
    )


def _members_record() -> Record:
    return make_record(
        IDENTITIES[1], MEMBER, NETWORK.id, epoch=0, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80"
    )


class Bench:
    """A machine, at a time that the test sets."""

    def __init__(self) -> None:
        self.now_ms = NETWORK.params.epoch_start_ms(3)
        self.machine = Machine(NETWORK, IDENTITIES[0], 0, MANIFEST, 64)

    @property
    def judged(self) -> int:
        """How many records were judged, whatever came of it."""
        return sum(self.machine.judged.values())

    def gossip(self, source: bytes, *records: Record) -> GossipVerdict:
        batch = RecordBatch(tuple(record.data for record in records), source)
        return self._verdicts(GossipArrived((batch,)))[0]

    def sync(self, source: bytes, *records: Record) -> GossipVerdict:
        return self._verdicts(RecordsArrived(tuple(record.data for record in records), source))[0]

    def _verdicts(self, event: GossipArrived | RecordsArrived) -> tuple[GossipVerdict, ...]:
        (judged,) = [effect for effect in self.machine.handle(event, self.now_ms) if isinstance(effect, Judged)]
        return judged.verdicts

    def burst(self, source: bytes, count: int) -> int:
        """How many of so many equal messages of one neighbour are judged."""
        before, record = self.judged, _join("one")
        for _ in range(count):
            self.gossip(source, record)
        return self.judged - before

    def count(self, what: str) -> int:
        return self.machine.admission.statistics().get(what, 0)


def test_a_neighbour_uses_what_others_leave_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of one stranger ends with the pool; what is its own comes again with time, and members have theirs."""
    monkeypatch.setattr(judge, "RECORD_BYTES_MAX", 0)  # a short judgement
    bench = Bench()
    checks = 2  # of a join
    assert bench.burst(STRANGER, 4_000) == admission.POOL_OF_STRANGERS.burst // checks
    assert bench.burst(OTHER, 100) == 0
    assert bench.burst(MEMBER, 100) == 100
    assert bench.count(SHARE) == 4_000 - 3_000 + 100
    bench.now_ms += 1000
    own = admission.CHECKS.per_second // checks
    assert bench.burst(STRANGER, 1_000) == own + admission.POOL_OF_STRANGERS.per_second // checks
    assert bench.burst(OTHER, 1_000) == own


def test_all_neighbours_together_take_half_a_core() -> None:
    """The rates add up to what their comment says, at a cautious 10,000 checks a second and core."""
    together = admission.NEIGHBOURS_MAX * admission.CHECKS.per_second
    together += admission.POOL_OF_MEMBERS.per_second + admission.POOL_OF_STRANGERS.per_second
    assert 5000 <= together <= 6500


def test_what_is_over_the_share_is_ignored_and_not_judged() -> None:
    """Nobody is rejected for it; the same message may come again, and its records may come by sync at once."""
    bench = Bench()
    bench.burst(STRANGER, 3000)
    seen = bench.judged
    assert bench.gossip(STRANGER, _join("two")) is GossipVerdict.IGNORE
    assert bench.judged == seen
    assert bench.sync(STRANGER, _join("three")) is GossipVerdict.ACCEPT
    bench.now_ms += 1000
    assert bench.gossip(STRANGER, _join("two")) is GossipVerdict.ACCEPT


def test_messages_of_one_event_are_charged_one_by_one() -> None:
    """The share of one neighbour may be used up while that of another is not."""
    bench = Bench()
    bench.burst(STRANGER, 3000)
    sources = (STRANGER, MEMBER, OTHER)
    batches = tuple(RecordBatch((_join(source.hex()).data,), source) for source in sources)
    effects = bench.machine.handle(GossipArrived(batches), bench.now_ms)
    (kept,) = [effect for effect in effects if isinstance(effect, Persist)]
    assert [record.data for record in kept.records] == [batches[1].records[0]]
    (judged,) = [effect for effect in effects if isinstance(effect, Judged)]
    assert judged.verdicts == (GossipVerdict.IGNORE, GossipVerdict.ACCEPT, GossipVerdict.IGNORE)


def test_what_sync_brings_costs_nobody_a_share() -> None:
    """A late joiner fetches what it lacks from one neighbour at its own pace."""
    bench = Bench()
    records = [_join("one")] * 512
    for _ in range(20):
        bench.sync(STRANGER, *records)
    assert bench.judged == 20 * 512
    assert bench.count(SHARE) == 0


def test_a_batch_that_is_judged_in_part_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we do not look at we do not vouch for; the rest of the batch is taken."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 0)
    bench = Bench()
    own = _members_record()
    assert bench.gossip(MEMBER, _join("one")) is GossipVerdict.IGNORE
    assert bench.judged == 0
    assert bench.gossip(MEMBER, _join("one"), own) is GossipVerdict.IGNORE
    assert own.id in bench.machine.context.ledger
    assert bench.judged == 1
    assert bench.count(TABLE) == 2
    other = Bench()
    assert other.gossip(MEMBER, own) is GossipVerdict.ACCEPT


@pytest.mark.parametrize("by_gossip", [True, False])
def test_the_table_of_strangers_fills_within_one_batch(monkeypatch: pytest.MonkeyPatch, by_gossip: bool) -> None:
    """Each record is counted before the next one is admitted, however many come at once."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 3)
    bench = Bench()
    take = bench.gossip if by_gossip else bench.sync
    assert take(MEMBER, *(_join(f"stranger {n}") for n in range(8))) is GossipVerdict.IGNORE
    assert (bench.count("strangers"), bench.count(TABLE)) == (3, 5)
    assert bench.count("records of strangers") == 3


def test_a_header_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admission, judgement and the table of strangers take on what was read first."""
    read: list[bytes] = []
    split = judge.split_record  # type: ignore[attr-defined]

    def counted(data: bytes) -> object:
        read.append(data)
        return split(data)

    monkeypatch.setattr("p2pverify.core.records.judge.split_record", counted)
    monkeypatch.setattr("p2pverify.core.records.envelope.split_record", counted)
    bench = Bench()
    one, two = _join("one"), _members_record()
    assert bench.gossip(MEMBER, one, two) is GossipVerdict.ACCEPT
    assert read == [one.data, two.data]


def test_an_honest_network_is_not_slowed_down() -> None:
    """All that eight peers say in twenty epochs may come through one neighbour."""
    published: list[tuple[int, tuple[bytes, ...]]] = []

    def see(_actor: Actor, told: object, now_ms: int) -> None:
        if isinstance(told, Publish):
            published.append((now_ms, told.records))

    world = make_world(8, make=watching(see))
    world.run_epochs(20)
    assert len(published) > 400
    assert all(peer.machine.admission.statistics().keys().isdisjoint({SHARE, TABLE}) for peer in world.peers)
    first = world.peers[0].machine
    for source in (world.peers[1].machine.key, STRANGER):
        listener = admission.Admission(first.key, first.fold)
        for now_ms, records in published:
            claims = [judge.peek(data) for data in records]
            assert listener.affords(claims, source, now_ms)
            assert all(listener.admits(claim) for claim in claims)
        assert listener.statistics()["strangers"] == 0
