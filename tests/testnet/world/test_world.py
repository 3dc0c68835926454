"""The simulated world: it keeps its promises, and its invariants find violations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import Persist, RecordsArrived
from p2pverify.core.gossip import types as gossip
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.memo import Memo
from p2pverify.testnet.faults import Fault, FaultKind
from p2pverify.testnet.plan import PlanError
from p2pverify.testnet.scenario import load_scenario
from p2pverify.testnet.world import ActorPlan, World, WorldPlan, plan_world, state_size
from p2pverify.testnet.world.liars.expectations import FATES
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.peer.disk import Disk
from p2pverify.testnet.world.plan import HONEST
from p2pverify.testnet.world.report import SCHEMA, WorldReport
from p2pverify.testnet.world.schedule import Chance, Schedule

RULES = {"epoch_ms": 10_000, "slots_milli": 500, "panel_size": 2, "prompt_tokens": 8, "answer_tokens": 8}
FAULTS = (
    Fault(FaultKind.PARTITION, 2, 15_000, 3),
    Fault(FaultKind.CRASH, 4, 700, 2),
    Fault(FaultKind.PAUSE, 5, 6_000, 2),
)


def small(**changes: Any) -> WorldPlan:
    values: dict[str, Any] = {"peers": 9, "members": 9, "founders": 7, "epochs": 8, "rules": RULES}
    return WorldPlan(**{**values, **changes})


def test_an_honest_network_survives_loss_faults_and_churn() -> None:
    """All invariants hold although frames are lost, duplicated and late, disks lose data, clocks differ, and peers join
    and leave."""
    plan = small(
        loss_ppm=80_000, duplicate_ppm=30_000, skew_ms=400, disk_ms=60, faults=FAULTS, joiners=1, leavers=1, seed=4
    )
    world = World(plan)
    world.play()
    assert world.invariants.faults == []
    assert world.links.lost > 0
    assert world.links.duplicated > 0
    assert {peer.life for peer in world.peers} == {0, 1}  # two have crashed and are back
    newest = world.invariants.newest
    assert newest is not None
    assert newest.index >= 4
    assert sum(member.active for member in newest.members.values()) == 8  # one has left
    ledgers = [peer.machine.context.ledger for peer in world.peers]
    assert len({ledger.heads() for ledger in ledgers}) == 1


def test_slow_machines_go_on_auditing_and_find_who_cheats() -> None:
    """Their engines can do half of the jobs, so they drop jobs that would be too late. Each goes on auditing to the
    end, the cheaters are convicted, and no honest peer is. By priority alone there was no audit after epoch 7."""
    rules = {**RULES, "epoch_ms": 4_000, "slots_milli": 1_000, "disputes_per_cut": 3}
    cheaters = (ActorPlan("wrong", 2, founders=True),)
    plan = small(peers=7, members=7, epochs=30, rules=rules, derive_ms=1_200, answer_ms=1_700, actors=cheaters)
    world = World(plan)
    world.play()
    assert world.invariants.faults == []
    machine = world.honest[0].machine
    late = [record for record in machine.context.ledger.records() if record.kind == Kind.AUDIT and record.epoch >= 9]
    assert {record.author for record in late} >= {peer.key for peer in world.honest}
    assert sum(member.is_convicted for member in machine.fold.latest.members.values()) == 2
    report = WorldReport(world)
    assert report.jobs_done > report.jobs_dropped > 0
    assert report.document()["jobs_dropped"] == report.jobs_dropped


def test_equal_plans_give_equal_traces() -> None:
    """The traces are equal in every event. A plan with one different probability gives another run."""
    traces = []
    for loss in (50_000, 50_000, 60_000):
        world = World(small(loss_ppm=loss, epochs=3, faults=FAULTS[:1]))
        world.play()
        traces.append(world.trace.digest)
    assert traces[0] == traces[1] != traces[2]


def make_alone(kind: str, args: ActorArgs) -> Actor:
    """An actor with a memo of its own, so that it computes everything itself."""
    return make_actor(kind, replace(args, memo=Memo()))


def test_a_state_that_is_too_large_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The invariant names the part that takes most of the bytes."""
    monkeypatch.setattr(state_size, "BASE_BYTES_MAX", 0)
    monkeypatch.setattr(state_size, "ROW_BYTES_MAX", 100)
    world = World(small(peers=5, members=5, founders=5, epochs=3))
    world.play()
    assert any("the state is too large, most of all its " in fault for fault in world.invariants.faults)


def test_the_memo_of_a_world_changes_nothing() -> None:
    """A memo for each peer instead of one for all gives the same run."""
    traces = []
    for alone in (False, True):
        make = make_alone if alone else make_actor
        world = World(small(peers=7, members=7, epochs=4, loss_ppm=50_000), make=make)
        world.play()
        assert world.invariants.faults == []
        traces.append(world.trace.digest)
    assert traces[0] == traces[1]


def test_a_cheater_is_convicted_and_the_report_says_so() -> None:
    """The report has a line for each kind, and a verdict."""
    world = World(small(epochs=14, actors=(ActorPlan("always-wrong"),), rules={**RULES, "slots_milli": 1_500}))
    world.play()
    report = WorldReport(world)
    assert report.passes, report.faults
    document = report.document()
    assert document["schema"] == SCHEMA
    assert document["verdict"] == "pass"
    lines = {line.kind: line for line in report.lines}
    assert lines["always-wrong"].convicted == 1
    assert lines[HONEST].convicted == 0
    assert len({len(row) for row in report.rows()}) == 1


def test_oracles_see_an_honest_peer_convicted() -> None:
    """If the invariants take a liar for honest, they see a convicted honest peer."""
    world = World(small(epochs=12, actors=(ActorPlan("always-wrong"),), rules={**RULES, "slots_milli": 1_500}))
    liar = next(peer for peer in world.peers if peer.kind != HONEST)
    liar.kind = HONEST
    world.play()
    assert any("is convicted" in fault for fault in world.invariants.faults)
    report = WorldReport(world)
    assert not report.passes
    assert world.plan.command in report.summary()


def test_oracles_see_that_cuts_do_not_advance() -> None:
    """If peers do not sign, no cut becomes final although two thirds of the weight are available."""
    world = World(small(epochs=12, peers=6, members=6, founders=6))
    for peer in world.peers[:3]:
        peer.speaks_from_ms = 2**52
    world.play()
    assert any("no cut became final" in fault for fault in world.invariants.faults)


def test_oracles_see_records_that_do_not_spread() -> None:
    """A peer that holds a record and shows it to no peer is found at rest."""
    world = World(small(peers=5, members=5, founders=5, epochs=2))
    world.invariants.rest_rounds_max = 4
    world.run(world.network.params.epoch_start_ms(2) - 1)
    loner = world.peers[0]
    seed = world.identities[0].seed
    head = loner.machine.context.ledger.last(loner.key)
    assert head is not None
    hidden = make_record(
        seed,
        public_key(seed),
        world.network.id,
        epoch=1,
        seq=head.seq + 1,
        prev=head.id,
        kind=Kind.LEAVE,
        payload=b"\x80",
    )
    for peer in world.peers[1:]:
        peer.sync.answer = lambda request: b""
    loner.feed(RecordsArrived((hidden.data,), bytes(32)))
    loner.sync.answer = lambda request: b""
    world.rest()
    world.invariants.at_rest()
    assert any("same records" in fault for fault in world.invariants.faults)


def test_a_disk_forgets_what_was_not_safe() -> None:
    """A crash loses only writes that were not done."""
    seed = bytes(32)
    made = [
        make_record(seed, public_key(seed), bytes(32), epoch=0, seq=seq, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80")
        for seq in range(3)
    ]
    disk = Disk(write_ms=50)
    assert disk.write(Persist((made[0],)), 1_000) == 1_050
    disk.write(Persist((made[1],)), 1_040)
    disk.write(Persist((made[2],)), 1_060)
    assert disk.crash(1_070) == 2
    assert disk.read()[0] == [made[0].data]
    assert disk.crash(1_070) == 0


def test_a_schedule_keeps_the_order_of_posting() -> None:
    """Items come in slots, by peer and in order. A late item comes in the next slot."""
    schedule = Schedule(1_000, 10)
    for number, (at_ms, peer) in enumerate(((1_025, 7), (1_021, 3), (1_030, 7), (500, 1))):
        schedule.post(at_ms, peer, (number,))
    assert schedule.pop(2_000) == {1: [(3,)]}
    assert schedule.now_ms == 1_010
    assert list((schedule.pop(2_000) or {}).items()) == [(7, [(0,), (2,)]), (3, [(1,)])]
    assert schedule.now_ms == 1_030
    assert schedule.pop(2_000) is None
    assert schedule.now_ms == 2_000


def test_chances_follow_from_the_seed() -> None:
    """Equal seeds give equal random numbers, also beyond one block."""
    one, two, other = Chance(b"a"), Chance(b"a"), Chance(b"b")
    throws = [one.bits() for _ in range(5_000)]
    assert throws == [two.bits() for _ in range(5_000)]
    assert throws[0] != other.bits()
    assert sorted(one.shuffled(list(range(50)))) == list(range(50))


@pytest.mark.parametrize("name", ["default", "toy"])
def test_scenarios_of_real_testnets_can_be_simulated(name: str) -> None:
    """Cheaters of a real testnet are hostile peers here, with the same rules."""
    plan = plan_world(load_scenario(name), name, epochs=6)
    world = World(plan)
    assert len([peer for peer in world.peers if peer.kind != HONEST]) == len(load_scenario(name).cheats)
    world.play()
    assert world.invariants.faults == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"actors": (ActorPlan("silent", 3, founders=True),)}, "a third or more"),
        ({"actors": (ActorPlan("silent", 9),)}, "do not fit"),
        ({"members": 20}, "do not fit"),
    ],
)
def test_plans_that_promise_nothing_are_refused(changes: dict[str, Any], text: str) -> None:
    """Refused are plans with a third of the weight hostile, or with more hostile peers than members."""
    with pytest.raises(PlanError, match=text):
        World(small(**changes))


def test_the_page_tells_every_fate() -> None:
    """testnet/README.md has the expected fates of hostile peers in the words of the table of expectations."""
    page = (Path(__file__).parents[3] / "testnet" / "README.md").read_text(encoding="utf-8")
    for kind, rule in FATES.items():
        assert f"| `{kind}` | {rule.fate} | {rule.why} |" in page


def test_messages_judged_as_one_have_each_its_verdict() -> None:
    """What is no batch is rejected, alone or not; of a mixed message the worst record decides, then the best."""
    world = World(small(peers=5, members=5, founders=5, epochs=3))
    world.run(world.network.params.epoch_start_ms(2) - 1)
    peer = world.peers[0]
    known = next(iter(peer.machine.context.ledger.records())).data
    new = [_stranger(world.network.id, name).data for name in (b"one", b"two", b"three")]
    broken = _stranger(world.network.id, b"four").data[:-1]
    messages = [[new[0]], [], [known, broken, new[1]], [known], [known, new[2]]]
    told: list[gossip.Event] = []
    peer._route = told.append  # type: ignore[assignment]
    for number, records in enumerate(messages):
        peer._delivered.append(gossip.Deliver("t", encode(records), bytes([number]), bytes(32)))
    peer._judge()
    words = [GossipVerdict.ACCEPT, GossipVerdict.REJECT, GossipVerdict.REJECT, GossipVerdict.IGNORE]
    words.append(GossipVerdict.ACCEPT)
    assert told == [gossip.Verdicts(tuple((bytes([number]), word) for number, word in enumerate(words)))]
    assert sum(count for note, count in peer.notes.items() if note.startswith("rejected")) == 2


def _stranger(network_id: bytes, name: bytes) -> Record:
    seed = sha256(name)
    payload = Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
    key = public_key(seed)
    return make_record(seed, key, network_id, epoch=0, seq=0, prev=NO_PREV, kind=Kind.JOIN, payload=payload)


def test_a_total_of_audits_holds_among_more_members() -> None:
    """Audits of an epoch are as many as the total, one duty covers a period, nobody misses one, and a liar is found."""
    rules = {**RULES, "slots_milli": 2_000, "audits_per_epoch": 6, "disputes_per_cut": 4}
    world = World(small(peers=16, members=16, epochs=26, rules=rules, actors=(ActorPlan("always-wrong"),), seed=2))
    world.play()
    assert world.invariants.faults == []
    newest = world.invariants.newest
    assert newest is not None
    rows = {each.kind: newest.members[each.key] for each in world.identities}
    assert rows["always-wrong"].conviction == "lost disputes"
    honest = [newest.members[each.key] for each in world.identities if each.kind == "honest"]
    assert sum(row.missed_duties + row.no_shows for row in honest) == 0
    ledger = world.honest[0].machine.context.ledger
    kinds = [record.kind for author, _, _ in ledger.heads() for record in ledger.chain(author)]
    assert kinds.count(Kind.DUTY) < 0.7 * sum(row.duties_met for row in newest.members.values())
    assert 0.7 < kinds.count(Kind.AUDIT) / (6 * world.plan.epochs) < 1.3
