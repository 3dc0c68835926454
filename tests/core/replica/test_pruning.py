"""Ledgers that forget what lies below a horizon, and what they answer about it."""

from collections.abc import Iterable, Sequence

import pytest

from p2pverify.core.errors import DecodeError, GossipIgnore
from p2pverify.core.events import RecordsArrived
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import CutSignature, Head
from p2pverify.core.replica import horizon
from p2pverify.core.replica.base import Base, decode_base
from p2pverify.core.replica.ledger import BELOW, RECORDS_PER_EPOCH_MAX, Ledger
from p2pverify.core.replica.logs.waiting import WAITING_EPOCHS, WAITING_PER_AUTHOR_MAX
from p2pverify.core.state.memory import memory_cuts
from p2pverify.core.sync.server import Sync
from p2pverify.testnet.world import World
from tests.core.replica.test_forked_logs import Room
from tests.core.replica.test_ledger import SEEDS, filled, head, log
from tests.support.worlds import make_world


def pruned(ledger: Ledger, *heads: Head, gone: Iterable[bytes] = (), named: Sequence[Record] = (), forget: bool = True):
    ids = {record.id for record in named}
    return ledger.prune({each[0]: each for each in heads}, gone, lambda record: record.id in ids, forget=forget)


def refusal(ledger: Ledger, record: Record) -> str:
    with pytest.raises(GossipIgnore) as refused:
        ledger.add(record)
    return refused.value.reason


@pytest.mark.parametrize("forget", [True, False])
def test_nothing_is_taken_at_or_below_a_floor(forget: bool) -> None:
    """Peers that forget and archives refuse the same records: known ones, other branches, and what builds on these."""
    trunk = log(SEEDS[0], 8)
    early, late = log(SEEDS[0], 4, after=trunk[1], epoch=1), log(SEEDS[0], 2, after=trunk[5], epoch=2)
    ledger = filled(*trunk, *early, *late)
    pruned(ledger, head(trunk[4]), forget=forget)
    assert {record.id for record in ledger.branches()} == {record.id for record in late}
    held = [*trunk[5:], *late] if forget else [*trunk, *late]
    assert sorted(r.id for r in ledger.records()) == sorted(r.id for r in held)
    assert len(ledger) == len(held)
    assert refusal(ledger, trunk[2]) == (BELOW if forget else "known")
    assert refusal(ledger, trunk[4]) == "known"
    assert refusal(ledger, early[1]) == BELOW
    assert ledger.add(early[3]) == []  # above the floor, but what it builds on never comes
    more = log(SEEDS[0], 1, after=trunk[7])
    assert ledger.add(more[0]) == more
    assert ledger.is_whole is not forget


def test_answers_about_what_was_forgotten() -> None:
    """The floor itself is known. Below it nothing is, so a head there is contained in nothing."""
    trunk = log(SEEDS[0], 8)
    branch = log(SEEDS[0], 2, after=trunk[5], epoch=1)
    ledger = filled(*trunk, *branch)
    pruned(ledger, head(trunk[4]))
    author, newest = trunk[0].author, head(trunk[7])
    assert ledger.lacks([head(trunk[4]), newest, head(branch[1])]) is None
    assert ledger.lacks([head(trunk[3])]) == trunk[3].id
    assert ledger.extends({author: newest}, [head(trunk[4])])
    assert ledger.extends({author: head(branch[1])}, [head(trunk[4])])
    assert not ledger.extends({author: newest}, [head(trunk[3])])
    assert not ledger.extends({author: newest}, [head(branch[0])])
    assert ledger.between(newest, 5) == trunk[5:]
    assert ledger.between(head(branch[1]), 5) == [trunk[5], *branch]
    with pytest.raises(AssertionError):
        ledger.between(newest, 4)
    assert list(ledger.backwards(newest, 7)) == trunk[:4:-1]
    assert ledger.last_of(newest, Kind.LEAVE) == trunk[7]
    assert ledger.on(newest, 4) is None
    assert ledger.on(head(branch[1]), 6) == branch[0]
    assert [ledger.at(author, seq) for seq in (4, 5)] == [None, trunk[5]]
    assert list(ledger.chain(author)) == trunk[5:]
    assert ledger.first(author) == 5
    pruned(ledger, newest)
    assert ledger.head(author) == newest
    assert ledger.last(author) is None
    assert ledger.newest_epoch(author) == (0, 8)


def test_the_rules_of_logs_hold_above_a_floor() -> None:
    """Epochs go on from that of the floor, and its records count for the limit of one epoch."""
    trunk = log(SEEDS[0], 3, epoch=5)
    floor = Floor(trunk[2].seq, trunk[2].id, 5, trunk[2].seq - RECORDS_PER_EPOCH_MAX + 3)
    ledger = Ledger()
    ledger.begin_above({trunk[2].author: floor})
    assert refusal(ledger, log(SEEDS[0], 1, after=trunk[2], epoch=4)[0]) == "dated before the record before it"
    more = log(SEEDS[0], 3, after=trunk[2], epoch=5)
    assert [len(ledger.add(record)) for record in more[:2]] == [1, 1]
    assert refusal(ledger, more[2]) == "too many records in one epoch"
    assert ledger.floors() == {trunk[2].author: floor}


@pytest.mark.parametrize("forget", [True, False])
def test_the_log_of_a_forgotten_author_is_closed(forget: bool) -> None:
    """Its records above the floor go too, because no cut can hold them. Records that the state names are found."""
    trunk, other = log(SEEDS[0], 6), log(SEEDS[1], 3)
    ledger, settled = filled(*trunk, *other), []
    ledger.watch(lambda *_: None, settled.extend)
    pruned(ledger, head(other[1]), gone=[trunk[0].author], named=[trunk[1]], forget=forget)
    assert {key[1] for key in settled} == {record.id for record in (*trunk, *other[:2])}
    assert ledger.get(trunk[1].id) == trunk[1]
    if forget:
        assert ledger.get(trunk[2].id) is None
        assert list(ledger.named()) == [trunk[1]]
        pruned(ledger, head(other[1]))
        assert ledger.get(trunk[1].id) is None
    else:
        assert refusal(ledger, log(SEEDS[0], 1, after=trunk[5])[0]) == BELOW


def test_records_wait_for_some_epochs_only() -> None:
    records = log(SEEDS[0], WAITING_PER_AUTHOR_MAX + 4)
    ledger = Ledger(waiting_max=WAITING_PER_AUTHOR_MAX)
    ledger.turn(100)
    for record in records[2 : WAITING_PER_AUTHOR_MAX + 2]:
        assert ledger.add(record) == []
    assert refusal(ledger, records[-1]) == "too many records wait for an earlier one"
    ledger.turn(100 + WAITING_EPOCHS)
    assert ledger.statistics()["waiting"] == WAITING_PER_AUTHOR_MAX
    ledger.turn(101 + WAITING_EPOCHS)
    assert ledger.statistics()["waiting"] == 0
    assert not ledger.has_waiting(records[0].author)


def small_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A horizon that short worlds reach. It is still longer than what a state remembers."""
    monkeypatch.setattr(horizon, "PRUNE_CUTS", 3)
    monkeypatch.setattr(horizon, "horizon_cuts", lambda params: memory_cuts(params) // 4)


def states(world: World) -> set[bytes]:
    return {peer.machine.fold.latest.id for peer in world.peers}


def test_pruned_peers_and_archives_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the peers forget. A pruned one starts again from its disk, which has a base and the records above."""
    small_horizon(monkeypatch)
    world = make_world(6, seed=4, kinds={1: "equivocator"}, archives=3)
    world.run_epochs(22)
    pruned_peer = world.peers[5]
    written = len(pruned_peer.disk.read()[0])
    world.stop(pruned_peer)
    world.run_epochs(2)
    world.start(pruned_peer)
    assert not pruned_peer.machine.context.ledger.is_whole
    before = [len(peer.machine.context.ledger) for peer in world.peers]
    world.run_epochs(9)  # the horizon moves three times
    held = [len(peer.machine.context.ledger) for peer in world.peers]
    assert all(now < 1.2 * then for then, now in zip(before[3:5], held[3:5], strict=True))
    assert all(now > 1.2 * then for then, now in zip(before[:3], held[:3], strict=True))
    assert len(states(world)) == 1
    latest = world.peers[0].machine.fold.latest
    assert latest.index >= 30
    assert not any(latest.members[peer.key].is_convicted for peer in world.peers if peer.kind == "honest")
    assert max(held[3:]) < 0.7 * min(held[:3])
    assert written < min(held[:3])
    last = pruned_peer.machine.context.ledger.last(pruned_peer.key)
    assert last is not None
    assert last.epoch >= 31  # it signs again


def test_a_base_must_be_the_newest_states_of_one_path() -> None:
    world = make_world(3, seed=2)
    world.run_epochs(8)
    fold = world.peers[0].machine.fold
    base, records = fold.base(), {cut_id: fold.ledger.get(cut_id) for cut_id in fold.base().cuts}
    cuts = {cut_id: record for cut_id, record in records.items() if record is not None}
    assert [state.id for state in decode_base(fold.network_id, base, cuts)] == list(fold.latest.path[-4:])
    assert (base.oldest, base.newest) == (base.cuts[0], fold.latest.id)
    for changed, reason in (
        (Base((), ()), "not the states of a few cuts"),
        (Base(base.cuts, base.states[1:]), "not the states of a few cuts"),
        (Base(base.cuts[1:], base.states[1:]), "too few states"),
        (Base(base.cuts[::-1], base.states[::-1]), "not the newest cuts of one path"),
        (Base(base.cuts, (base.states[1], *base.states[1:])), "not the root that its cut names"),
    ):
        with pytest.raises(DecodeError, match=reason):
            decode_base(fold.network_id, changed, cuts)
    with pytest.raises(DecodeError, match="another network"):
        decode_base(bytes(32), base, {})


def test_a_late_record_reaches_all_however_old_it_claims_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author signed it 10,000 epochs ago and fell silent. One peer has it now, and sync brings it to the others."""
    small_horizon(monkeypatch)
    room = Room(7, "late")
    room.talk([room.machines], 2)
    silent, *others = room.machines
    late = room.add(silent.context, Kind.CUT_SIGNATURE, CutSignature(bytes(31) + b"c").encode())
    room.now += 10_000 * room.network.params.epoch_ms
    while others[0].fold.latest.index < 20:
        room.talk([others], 1)
    assert not others[0].context.ledger.is_whole
    first, *rest = others
    first.handle(RecordsArrived((late.data,), bytes(32)), room.now)
    syncs = {machine.key: Sync(machine.context) for machine in others}
    for machine in rest:
        session = syncs[machine.key].session(first.key)
        request: bytes | None = session.start()
        while request is not None:
            turn = session.receive(syncs[first.key].answer(request))
            machine.handle(RecordsArrived(turn.records, first.key), room.now)
            request = turn.request
        session.end()
        assert late.id in machine.context.ledger
        assert session.is_complete
    room.talk([others], 2)
    assert len({machine.fold.latest.id for machine in others}) == 1
    assert first.fold.latest.heads[silent.key] == (late.author, late.seq, late.id)
