"""The challengers that are shown beside a number of audits are the challengers of these audits."""

import pytest

from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import audit_of
from p2pverify.core.records.payloads.vote import decode_vote
from p2pverify.core.state.view import Score, scores
from p2pverify.testnet.world import World
from tests.support.worlds import make_world

SILENT, CHEAT, SOMETIMES = 0, 1, 4


@pytest.fixture(scope="module")
def world() -> World:
    """Six founders: one never answers, one always lies and one sometimes lies. Some undisputed audits are voted on."""
    world = make_world(
        6,
        seed=11,
        kinds={SILENT: "silent", CHEAT: "always-wrong", SOMETIMES: "wrong"},
        rate_ppm=500_000,
        slots_milli=1500,
        spot_check_permille=100,
    )
    world.run_epochs(12)
    return world


@pytest.fixture(scope="module")
def found(world: World) -> tuple[Score, ...]:
    return scores(world.network, world.peers[2].machine.fold.latest)


def test_there_are_challengers_where_there_are_audits(found: tuple[Score, ...]) -> None:
    """There are no challengers without audits, and never more challengers than audits."""
    assert sum(score.audits for score in found) > 30
    assert all(score.challengers <= score.audits for score in found)
    assert all((score.challengers > 0) == (score.audits > 0) for score in found)


def test_who_asked_in_vain_is_no_challenger_behind_an_audit(world: World, found: tuple[Score, ...]) -> None:
    """Many asked the peer that never answers. Only its own audits and votes were judged."""
    silent = next(score for score in found if score.peer == world.peers[SILENT].machine.key)
    assert silent.contacts >= 3
    assert audited(world)[silent.peer] == set()
    assert world.peers[2].machine.fold.latest.members[silent.peer].auditors <= voted(world)[silent.peer] | {silent.peer}


def test_challengers_are_authors_of_audits_that_the_peer_answered(world: World) -> None:
    """A counted challenger signed an audit with the peer's answer, or is the peer itself, or had the peer vote."""
    for peer, member in world.peers[2].machine.fold.latest.members.items():
        assert member.auditors <= audited(world)[peer] | voted(world)[peer] | {peer}


def audited(world: World) -> dict[bytes, set[bytes]]:
    """For each peer, the authors of audits that hold an answer of it, from the ledger."""
    found: dict[bytes, set[bytes]] = {peer.machine.key: set() for peer in world.peers}
    for record in world.peers[2].machine.context.ledger.records():
        if record.kind == Kind.AUDIT:
            for asked in audit_of(record).asked:
                if asked.receipt is not None:
                    found[asked.responder].add(record.author)
    return found


def voted(world: World) -> dict[bytes, set[bytes]]:
    """For each peer, the authors of audits that it voted on."""
    found: dict[bytes, set[bytes]] = {peer.machine.key: set() for peer in world.peers}
    for record in world.peers[2].machine.context.ledger.records():
        if record.kind == Kind.VOTE:
            found[record.author].add(decode_vote(record.payload).dispute.challenger)
    return found
