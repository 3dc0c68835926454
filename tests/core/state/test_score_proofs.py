"""The proof of one score: it holds for the row of its view, and for nothing else."""

from dataclasses import replace

import pytest

from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.state.state import State
from p2pverify.core.state.view import prove_score, score_rows, view_root
from p2pverify.core.state.view_bytes import ScoreProof
from tests.core.state.test_growth import key, state_of
from tests.core.state.test_weights import NETWORK
from tests.support.worlds import make_world


def proof_of(state: State, peer: bytes) -> ScoreProof:
    proof = prove_score(NETWORK, state, peer)
    assert proof is not None
    return proof


@pytest.mark.parametrize("members", [1, 2, 3, 7, 8, 13])
def test_every_row_is_provable(members: int) -> None:
    state = state_of(members)
    root = view_root(NETWORK, state)
    for position, row in enumerate(score_rows(NETWORK, state)):
        proof = proof_of(state, key(position))
        assert (proof.row, proof.position) == (row, position)
        assert proof.holds(root)


def test_a_peer_without_a_row_has_no_proof() -> None:
    assert prove_score(NETWORK, state_of(3), key(9)) is None


def test_a_proof_with_any_other_part_does_not_hold() -> None:
    state = state_of(6)
    proof, root = proof_of(state, key(2)), view_root(NETWORK, state)
    other = proof_of(state, key(3))
    count, rows_root = proof.head.rows
    changed = [
        replace(proof, row=other.row),
        replace(proof, row=proof.row[:-1]),
        replace(proof, position=3),
        replace(proof, position=6),
        replace(proof, position=-1),
        replace(proof, path=proof.path[:-1]),
        replace(proof, path=(*proof.path, bytes(32))),
        replace(proof, path=proof.path[::-1]),
        replace(proof, head=replace(proof.head, rows=(count + 1, rows_root))),
        replace(proof, head=replace(proof.head, rows=(count, bytes(32)))),
        replace(proof, head=replace(proof.head, epoch=proof.head.epoch + 1)),
        replace(proof, head=replace(proof.head, counters=(("records", 1),))),
    ]
    assert proof.holds(root)
    assert not any(each.holds(root) for each in changed)
    assert not proof.holds(bytes(32))


def test_a_later_view_does_not_prove_an_earlier_row() -> None:
    """A score that has changed since is proven by its own cut only."""
    before = state_of(6)
    proof, root = proof_of(before, key(2)), view_root(NETWORK, before)
    after = before.successor(bytes(32), 1, {})
    after.change(key(2), agreements=5)
    assert proof.holds(root)
    assert not proof.holds(view_root(NETWORK, after))
    assert proof_of(after, key(2)).holds(view_root(NETWORK, after))


def test_a_certified_cut_names_the_root_of_the_proof() -> None:
    """So the cut's record, its signatures and the proof are enough."""
    world = make_world(4, seed=3)
    world.run_epochs(4)
    machine = world.peers[0].machine
    latest = machine.fold.latest
    record = machine.context.ledger.get(latest.id)
    assert record is not None
    for peer in latest.members:
        proof = prove_score(world.network, latest, peer)
        assert proof is not None
        assert proof.holds(decode_cut(record.payload).view_root)
