"""Records that the operator orders: signed at once, on disk before the answer, or refused with a reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.events import Effect, Leave, Persist, Publish, Respond, WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.roles.publisher import NOT_HELD, NOT_NOW, outcome_of
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.versions import MANIFEST, manifest_of
from p2pverify.testnet.world.plan import UpgradePlan
from tests.support.datasets import dataset_of, statement_of
from tests.support.lines import with_line
from tests.support.worlds import make_world

Told = tuple[bytes | None, str | None]


def ready() -> World:
    world = make_world(3, seed=51, contract=with_line)
    world.run_epochs(3)
    return world


def order(world: World, kind: Kind, payload: bytes, number: int = 0) -> tuple[list[Effect], Told]:
    """What a peer does with an order, and what the operator is told."""
    effects = world.peers[number].machine.handle(WriteRecord(9, kind, payload), world.now_ms)
    (said,) = [effect for effect in effects if isinstance(effect, Respond) and effect.ticket == 9]
    return effects, outcome_of(said.data)


def told(world: World, kind: Kind, payload: bytes) -> Told:
    return order(world, kind, payload)[1]


def test_a_record_is_on_disk_before_the_answer() -> None:
    world = ready()
    effects, (record, why) = order(world, Kind.DATASET, dataset_of().encode())
    assert why is None
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Persist) < kinds.index(Respond)
    persisted = [one for effect in effects if isinstance(effect, Persist) for one in effect.records]
    published = [data for effect in effects if isinstance(effect, Publish) for data in effect.records]
    (own,) = [one for one in persisted if one.id == record]
    assert (own.kind, own.data in published) == (Kind.DATASET, True)


def test_it_counts_like_every_record() -> None:
    """Its author's own fold knows the data set, and so the erasure in it."""
    world = ready()
    record, _ = told(world, Kind.DATASET, dataset_of().encode())
    assert record is not None
    erasure = Erasure(record, sha256(b"less"), 2, 1)
    assert told(world, Kind.ERASURE, erasure.encode())[1] is None
    assert told(world, Kind.ERASURE, erasure.encode())[1] == "it leaves as many rows as there were"
    assert told(world, Kind.STATEMENT, statement_of().encode())[1] is None
    live = world.peers[0].machine.provisional(world.now_ms).datasets[record]
    assert (live.rows, live.root) == (2, sha256(b"less"))


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (Kind.VOTE, b"", "this network has no such records"),
        (Kind.DATASET, b"\xff", "malformed dataset: indefinite length"),
        (Kind.STATEMENT, encode([]), "malformed statement: statement: not 5 items"),
        (Kind.DATASET, dataset_of(until=1).encode(), "a data set that is over when it begins"),
        (Kind.ERASURE, Erasure(bytes(32), bytes(32), 0, 0).encode(), "no live data set of the author"),
    ],
)
def test_what_would_not_count_is_not_signed(kind: Kind, payload: bytes, reason: str) -> None:
    world = ready()
    effects, found = order(world, kind, payload)
    assert found == (None, reason)
    assert not any(one.kind == kind for effect in effects if isinstance(effect, Persist) for one in effect.records)


def test_a_root_is_ordered_once() -> None:
    world = ready()
    assert told(world, Kind.DATASET, dataset_of().encode())[1] is None
    assert told(world, Kind.DATASET, dataset_of().encode())[1] == "it is live already"
    assert told(world, Kind.DATASET, replace(dataset_of("other"), rows=1).encode())[1] is None


def _leaving(world: World) -> None:
    world.peers[0].machine.handle(Leave(), world.now_ms)


def _full_disk(world: World) -> None:
    world.peers[0].machine.context.cannot_store = "the disk is full"


def _stopped(world: World) -> None:
    world.peers[0].machine.context.silence.stop("another process signs with this identity")


@pytest.mark.parametrize("hinder", [_leaving, _full_disk, _stopped])
def test_a_peer_that_may_not_sign_says_so(hinder: Callable[[World], None]) -> None:
    world = ready()
    hinder(world)
    assert told(world, Kind.STATEMENT, statement_of().encode()) == (None, NOT_NOW)


def test_a_started_peer_signs_nothing_before_it_knows_its_log() -> None:
    world = make_world(3, seed=51, contract=with_line)
    assert told(world, Kind.STATEMENT, statement_of().encode()) == (None, NOT_NOW)


def test_a_network_without_lines_has_no_such_records() -> None:
    """The kinds are unknown there, as those of a later version are."""
    world, plain = ready(), make_world(3, seed=51)
    record, _ = told(world, Kind.STATEMENT, statement_of().encode())
    assert record is not None
    known = world.peers[0].machine.context.ledger.get(record)
    assert known is not None
    assert judge(known.data, Rules(world.network, world.network.id, FAR_FUTURE)).id == record
    unlined = replace(world.network, lines=())
    with pytest.raises(GossipIgnore, match="unknown kind"):
        judge(known.data, Rules(unlined, world.network.id, FAR_FUTURE))
    plain.run_epochs(2)
    assert told(plain, Kind.STATEMENT, statement_of().encode()) == (None, "this network has no such records")


def test_a_version_is_not_claimed_before_its_weights_are_here() -> None:
    """The operator who orders it too early would have the peer asked for answers that it cannot give."""
    world = make_world(3, seed=51, upgrades=(UpgradePlan(0, "release"),), line_epochs=(1, 40, 1))
    world.run_epochs(6)
    machine, later = world.peers[0].machine, manifest_of(1).digest
    assert notes_of(world.network, machine.fold.latest, 0).newest == 1
    served = machine.provisional(world.now_ms).version_of(machine.key)
    other = MANIFEST.digest if served else later
    held = machine.context.held.pop(other, None)
    assert told(world, Kind.SERVE, Serve(other).encode()) == (None, NOT_HELD)
    if held is not None:
        machine.context.held[other] = held
        assert told(world, Kind.SERVE, Serve(other).encode())[1] is None
        assert machine.provisional(world.now_ms).version_of(machine.key) == 1 - served
