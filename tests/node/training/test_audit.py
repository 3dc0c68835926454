"""Decided rounds that are run again from their blobs, in a world whose members train real rows."""

from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.training.result import UpdateFinding
from p2pverify.node.training.audit import DecidedOrder, RoundAuditError, audit_round, find_round, result_of
from p2pverify.node.training.versions import RoundBase
from tests.support.replays import TRAINER, RealRounds


@pytest.fixture(scope="module")
def made() -> RealRounds:
    """Two decided rounds, and their repetition after an erasure."""
    found = RealRounds(rounds=2)
    found.run_until_decided(1)
    found.erase({0: [4]})
    found.run_until_replayed(2)
    return found


def found_in(made: RealRounds, number: int) -> DecidedOrder:
    fold = made.world.peers[0].machine.fold
    return find_round(fold, fold.latest.id, RoundPlace(0, number))


def base_of(made: RealRounds, found: DecidedOrder) -> RoundBase:
    return RoundBase(*made.bases[found.order.base])


def test_every_round_gives_the_decided_result_again(made: RealRounds) -> None:
    numbers = [over.number for over in made.known.closed if over.voters[0]]
    assert len(numbers) >= 3
    for number in numbers:
        found = found_in(made, number)
        done = audit_round(found, TRAINER, base_of(made, found), made.blobs.get)
        assert done.differences == ()
        assert done.found == found.decided
        assert 3 * found.agreed > 2 * found.voters


def test_the_weights_of_a_version_are_those_of_its_result(made: RealRounds) -> None:
    """A manifest need not name them: that of a language model names the merged file."""
    fold = made.world.peers[0].machine.fold
    versions = notes_of(fold.network, fold.latest, 0).versions
    assert versions
    for version in versions:
        result = result_of(fold, fold.latest.id, 0, version.manifest)
        assert result is not None
        assert (result.manifest, result.weights) == (version.manifest, sha256(made.bases[version.manifest][0]))
    assert result_of(fold, fold.latest.id, 0, fold.network.lines[0].genesis) is None


def test_what_differs_is_named(made: RealRounds) -> None:
    found = found_in(made, 1)
    first, *others = found.decided.rows
    lie = replace(found.decided, rows=(replace(first, credit=first.credit + 1), *others), weights=bytes(32))
    done = audit_round(replace(found, decided=lie), TRAINER, base_of(made, found), made.blobs.get)
    one, two = done.differences
    assert one.startswith(f"{peer_id(first.author)}: decided right with a credit of {first.credit + 1}, found right")
    assert two == f"weights: decided {'00' * 32}, found {found.decided.weights.hex()}"


def test_what_nobody_saw_is_left_out(made: RealRounds) -> None:
    """The decision called it unseen, so the result without it is the right one, although this machine has the bytes."""
    found = found_in(made, 1)
    author = found.decided.rows[0].author
    without = {
        digest: data
        for digest, data in made.blobs.items()
        if digest != next(update.update for update in found.order.updates if update.author == author)
    }
    base = base_of(made, found)
    said = TRAINER.evaluate(found.order, base.weights, base.manifest, without).result
    assert said.rows[0].finding is UpdateFinding.UNSEEN
    assert audit_round(replace(found, decided=said), TRAINER, base, made.blobs.get).differences == ()


def test_what_is_not_here_cannot_be_checked(made: RealRounds) -> None:
    found = found_in(made, 1)
    author = peer_id(found.order.updates[0].author)
    with pytest.raises(RoundAuditError, match=f"the shown rows of {author}"):
        audit_round(found, TRAINER, base_of(made, found), {**made.blobs, found.order.updates[0].shown: None}.get)
    with pytest.raises(RoundAuditError, match="no decided round 99"):
        found_in(made, 99)
