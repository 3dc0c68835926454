"""A memo that machines share changes their costs, not their behaviour."""

from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, make_record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.memo import Memo
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.peer.disk import Disk
from tests.support.networks import MANIFEST, make_network, seeds
from tests.support.worlds import convicted, make_world, watching


def play(*, with_memo: bool) -> tuple[World, list[tuple[int, bytes, object]]]:
    """A run with cheaters, a crash and a late joiner, and all its events and effects. Its machines share a memo or have
    none."""
    done: list[tuple[int, bytes, object]] = []
    watched = watching(lambda actor, told, now_ms: done.append((now_ms, actor.key, told)))

    def make(kind: str, args: ActorArgs) -> Actor:
        return watched(kind, args if with_memo else replace(args, memo=None))

    world = make_world(
        6,
        seed=17,
        kinds={1: "always-wrong", 2: "wrong"},
        rate_ppm=500_000,
        make=make,
        slots_milli=1500,
        spot_check_permille=100,
        conviction_odds=1000,
    )
    world.run_epochs(5.3)
    world.stop(world.peers[3])
    world.peers[3].disk = Disk(0)
    world.run_epochs(2)
    world.start(world.peers[3])
    world.run_epochs(6)
    return world, done


def test_machines_with_a_memo_do_the_same() -> None:
    """Two runs of one seed have the same effects at the same times."""
    (alone, done), (together, done_together) = play(with_memo=False), play(with_memo=True)
    assert 1 in convicted(alone)
    assert len(done) > 4500
    assert done == done_together
    assert [p.machine.judged for p in alone.peers] == [p.machine.judged for p in together.peers]
    assert [p.machine.statistics() for p in alone.peers] == [p.machine.statistics() for p in together.peers]
    cut = alone.peers[0].machine.fold.latest.path[-4]
    objects = [len({id(peer.machine.fold.state(cut)) for peer in world.peers}) for world in (alone, together)]
    assert objects == [6, 1]  # with the memo, all six share one object


def test_a_judgement_is_remembered_and_the_clock_is_not() -> None:
    """A record that is two epochs early is ignored now and accepted later. A forged record is rejected each time."""
    network = make_network(seeds(1, "memo"))
    (seed,) = seeds(1, "author")
    author = Machine(network, seed, 0, MANIFEST, 64).key
    made = make_record(seed, author, network.id, epoch=5, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=encode([]))
    forged = made.data.replace(made.signature, bytes(64))
    memo = Memo()
    for epoch, data, reason in (
        (3, made.data, "dated in the future"),
        (4, made.data, None),
        (3, made.data, "dated in the future"),
        (3, forged, "dated in the future"),
        (4, forged, "bad signature"),
        (4, forged, "bad signature"),
        (4, b"\x00", "malformed record: record: not an array"),
        (4, b"\x00", "malformed record: record: not an array"),
    ):
        rules = Rules(network, network.id, epoch)
        for judged in (judge, memo.judge):
            if reason is None:
                assert judged(data, rules) == made
                continue
            with pytest.raises((GossipIgnore, GossipReject)) as refused:
                judged(data, rules)
            assert refused.value.reason == reason


def test_a_ledger_holds_only_what_was_added_to_it() -> None:
    """Ledgers that share the memory of ids do not share records."""
    network = make_network(seeds(1, "memo"))
    (seed,) = seeds(1, "author")
    author = Machine(network, seed, 0, MANIFEST, 64).key
    rest = {"network": network.id, "epoch": 0, "kind": Kind.LEAVE, "payload": encode([])}
    first = make_record(seed, author, seq=0, prev=NO_PREV, **rest)  # type: ignore[arg-type]
    second = make_record(seed, author, seq=1, prev=first.id, **rest)  # type: ignore[arg-type]
    memo = Memo()
    one, two = Ledger(memo.shelf), Ledger(memo.shelf)
    assert one.add(first) == [first]
    assert one.add(second) == [first, second][1:]
    assert first.id not in two
    assert two.get(second.id) is None
    assert two.lacks([(author, 1, second.id)]) == second.id
    assert two.add(second) == []
    assert two.add(first) == [first, second]
    assert two.heads() == one.heads()
