"""Traces through the ledger of another peer, and what that ledger does not hold."""

from dataclasses import dataclass, replace
from functools import cache

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.node.data.documents import TraceDocument
from p2pverify.node.data.making import Terms, new_dataset
from p2pverify.node.data.report import datasets_document
from p2pverify.node.data.statements import OpenStatement, new_salt
from p2pverify.node.data.store import OwnDataset
from p2pverify.node.data.trace import Tracer
from p2pverify.testnet.world import World
from tests.support.datasets import SCHEMA, rows
from tests.support.lines import with_line
from tests.support.worlds import make_world, run_until

SUBJECT, DOCUMENT = "study of Alice Example", b"Alice Example consents."


def order(world: World, number: int, kind: Kind, payload: bytes) -> bytes:
    """Have a peer sign a record. Returns the record's id."""
    peer = world.peers[number]
    before = len(list(peer.machine.context.ledger.chain(peer.machine.key)))
    peer.feed(WriteRecord(-1, kind, payload))
    (record,) = [
        each for each in list(peer.machine.context.ledger.chain(peer.machine.key))[before:] if each.kind == kind
    ]
    return record.id


@dataclass(frozen=True)
class Story:
    """A data set made from another one, an erasure, two statements about one subject; and the rows."""

    world: World
    first: OwnDataset
    second: OwnDataset
    ids: tuple[bytes, ...]
    alone: OpenStatement
    both: OpenStatement

    @property
    def tracer(self) -> Tracer:
        """Over the ledger of the peer that said nothing."""
        fold = self.world.peers[2].machine.fold
        return Tracer(fold, fold.latest.id)

    @property
    def ledger(self) -> bytes:
        return b"".join(record.data for record in self.world.peers[2].machine.context.ledger.records())


@cache
def story() -> Story:
    world = make_world(3, seed=52, contract=with_line)
    world.run_epochs(3)
    alice, bob = world.peers[0].machine.key, world.peers[1].machine
    first = new_dataset("patients", SCHEMA, rows(6), Terms("CC-BY-4.0", 1, (), None, 10_000), None)
    one = order(world, 0, Kind.DATASET, first.said.encode())
    world.run_epochs(2)
    left = first.without([2], 1)
    gone = order(world, 0, Kind.ERASURE, Erasure(one, left.root, 5, 1).encode())
    second = new_dataset("means", SCHEMA, rows(2), Terms("MIT", 0, (left.root,), sha256(b"mean"), 10_000), None)
    two = order(world, 0, Kind.DATASET, second.said.encode())
    alone = OpenStatement(
        world.network.id, alice, "consent/1", SUBJECT, new_salt(), DOCUMENT, new_salt(), tuple(sorted((one, two)))
    )
    said = order(world, 0, Kind.STATEMENT, alone.statement.encode())
    asked = replace(
        alone, profile="dua/1", document=b"Both agree.", document_salt=new_salt(), parents=(said,), other=bob.key
    )
    both = asked.signed_by(bob.context.seed)
    agreed = order(world, 0, Kind.STATEMENT, both.statement.encode())
    last = world.peers[2].machine
    assert run_until(world, lambda: last.fold.latest.totals.get("statements", 0) == 2, epochs_max=12)
    return Story(world, first, second, (one, gone, two, said, agreed), alone, both)


def shape(found: TraceDocument) -> list[tuple[int, str, str, bool]]:
    return [(node.depth, node.kind, node.id, node.again) for node in found.nodes]


def test_a_subject_is_traced_to_what_it_rests_on() -> None:
    told = story()
    one, gone, two, said, agreed = (each.hex() for each in told.ids)
    found = told.tracer.trace(told.alone.statement.subject, (told.alone, told.both))
    assert found.faults == ()
    parents = sorted((one, two))
    below = {one: [], two: [(2, "dataset", one)]}
    expected = [
        (0, "statement", said),
        *(each for parent in parents for each in [(1, "dataset", parent), *below[parent]]),
    ]
    expected += [(0, "statement", agreed), (1, "statement", said)]
    assert [node[:3] for node in shape(found)] == expected
    assert [node.id for node in found.nodes if node.again] == [one, said]
    by_id = {node.id: node for node in found.nodes if not node.again}
    alice, bob = (peer_id(told.world.peers[number].machine.key) for number in (0, 1))
    assert (by_id[agreed].author, by_id[agreed].signed_with, by_id[agreed].opened) == (alice, bob, SUBJECT)
    assert [(each.id, each.rows_left, each.why) for each in by_id[one].erasures] == [(gone, 5, "request")]
    assert found.complete


def test_epochs_are_those_of_the_cuts() -> None:
    """The first certified cut that holds a record, by the states of the fold itself."""
    told = story()
    machine = told.world.peers[2].machine
    found = told.tracer.trace(told.ids[2])
    states = [state for cut in machine.fold.latest.path if (state := machine.fold.state(cut)) is not None]
    assert len(states) > 4
    for node in found.nodes:
        record = machine.context.ledger.get(bytes.fromhex(node.id))
        assert record is not None
        holds = [state for state in states if state.heads.get(record.author, (b"", -1, b""))[1] >= record.seq]
        first = min(holds, key=lambda state: state.index)
        assert (node.epoch, node.cut) == (first.epoch, first.id.hex())
        assert node.claimed_epoch == record.epoch


@pytest.mark.parametrize("name", ["record", "first root", "root after the erasure"])
def test_a_data_set_has_several_names(name: str) -> None:
    told = story()
    names = {
        "record": told.ids[0],
        "first root": told.first.said.root,
        "root after the erasure": told.first.without([2], 1).root,
    }
    assert [node.id for node in told.tracer.trace(names[name]).nodes] == [told.ids[0].hex()]


def test_what_is_not_in_a_cut_is_said() -> None:
    """The last records of a ledger wait for a cut."""
    world = make_world(3, seed=53, contract=with_line)
    world.run_epochs(3)
    own = new_dataset("rows", SCHEMA, rows(2), Terms("MIT", 0, (bytes(32),), None, 10_000), None)
    record = order(world, 0, Kind.DATASET, own.said.encode())
    fold = world.peers[0].machine.fold
    found = Tracer(fold, fold.latest.id).trace(record)
    assert [(node.kind, node.epoch, node.cut) for node in found.nodes] == [
        ("dataset", None, None),
        ("unknown", None, None),
    ]
    assert Tracer(fold, fold.latest.id).trace(sha256(b"nothing")).nodes == ()


def test_an_opened_statement_that_does_not_hold_is_a_fault() -> None:
    told = story()
    lie, forged = replace(told.alone, document=b"Nobody consents."), replace(told.both, signature=bytes(64))
    found = told.tracer.trace(told.ids[3], (lie, forged))
    assert [fault.rpartition(": ")[2] for fault in found.faults] == [
        "the ledger has no record of it",
        "the other party's signature does not hold",
    ]
    assert all(node.opened is None for node in found.nodes)


def test_the_ledger_of_another_peer_holds_no_data() -> None:
    """No row, no salt, no name and no document; and no hash of these from which a guess could be confirmed."""
    told = story()
    ledger = told.ledger
    assert told.first.said.root in ledger
    secrets = [row.salt for own in (told.first, told.second) for row in own.rows]
    secrets += [row.row for row in told.first.rows]
    secrets += [told.first.card, told.first.card_salt, b"patients", b"means", b"mean radius", b"malignant"]
    for each in (told.alone, told.both):
        secrets += [each.subject.encode(), each.subject_salt, each.document, each.document_salt]
    for secret in secrets:
        assert secret not in ledger
        assert sha256(secret) not in ledger
    assert not any(row.commitment in ledger for row in told.first.rows)


def test_the_document_of_live_data_sets_is_that_of_the_records() -> None:
    told = story()
    machine = told.world.peers[2].machine
    found = datasets_document(machine.context.ledger, machine.context.network_id, machine.fold.latest, final=True)
    assert found.cut == machine.fold.latest.id.hex()
    assert found.datasets[0].id == told.ids[0].hex()
    first = found.datasets[0]
    assert (first.rows, first.first_rows, first.erasures, first.erased) == (5, 6, 1, 1)
    assert (first.root, first.first_root) == (told.first.without([2], 1).root.hex(), told.first.said.root.hex())
    assert (first.licence, first.basis, first.owner) == (
        "CC-BY-4.0",
        "consent",
        peer_id(told.world.peers[0].machine.key),
    )
