"""Speed in views: audits' measurements are in the view and have no effect on anything else."""

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import pytest

from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Compute, Effect, MeasureJob
from p2pverify.core.inference.speed import Fit
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join, decode_join
from p2pverify.core.state.view import score_rows, scores, view_root
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import SimulatedEngine
from p2pverify.testnet.world.peer.peer import Peer
from tests.support.networks import seeds
from tests.support.worlds import final, make_world, run_until

PEERS = 6
SLOW, BUSY, LIAR = 3, 4, 5
DERIVE_MS, ANSWER_MS = 20, 40
JOB_MS = 300


class BusyEngine(SimulatedEngine):
    """Has other jobs: a share of the jobs takes longer."""

    def lasts_ms(self, job: Compute | MeasureJob) -> int:
        return super().lasts_ms(job) + (JOB_MS if random.Random(job.job).random() < 0.3 else 0)


def timed_world(*, hardware: str = "testbox", kinds: Mapping[int, str] | None = None) -> World:
    """All peers claim one hardware. One machine is slower, one is honest but has other jobs."""
    busy = public_key(seeds(PEERS, "world-1")[BUSY])

    def engine(actor: Actor) -> SimulatedEngine:
        kind = BusyEngine if actor.key == busy else SimulatedEngine
        return kind(DERIVE_MS, ANSWER_MS * actor.slowness, 0)

    kinds = {SLOW: "slow-hardware", **(kinds or {})}
    return make_world(
        PEERS,
        kinds=kinds,
        rate_ppm=500_000,
        engine=engine,
        hardware=hardware,
        slots_milli=6000,
        panel_size=3,
        latency_ms=(1, 3),
        jitter_ms=0,
        quantum_ms=1,
        disk_ms=0,
    )


@pytest.fixture(scope="module")
def world() -> World:
    """One peer lies about some answers."""
    world = timed_world(kinds={LIAR: "wrong"})
    world.run_epochs(16)
    return world


def test_the_slow_one_is_told_apart_and_the_busy_one_is_not(world: World) -> None:
    found = {world.by_key[score.peer].number: score.speed for score in scores(world.network, final(world))}
    fits = {name: speed.fit for name, speed in found.items() if speed is not None}
    assert fits.pop(SLOW) is Fit.INCONSISTENT
    assert set(fits) == set(range(PEERS)) - {SLOW}
    assert set(fits.values()) == {Fit.CONSISTENT}
    slow, other = found[SLOW], found[0]
    assert slow is not None
    assert other is not None
    assert slow.typical is not None
    assert other.typical is not None
    assert slow.typical.token_us > 2 * other.typical.token_us
    assert slow.claim == "testbox"


def test_speed_has_no_part_in_the_score(world: World) -> None:
    """With any known speed or none, standing, weight, the test and admission to weight are the same."""
    state = final(world)
    assert any(member.is_convicted for member in state.members.values())
    blind = dataclasses.replace(
        state,
        members={
            peer: dataclasses.replace(
                member,
                hardware="",
                contacts={asker: dataclasses.replace(c, windows=()) for asker, c in member.contacts.items()},
            )
            for peer, member in state.members.items()
        },
    )
    seeing = scores(world.network, state)
    assert all(score.speed is not None for score in seeing)
    assert tuple(dataclasses.replace(score, speed=None) for score in seeing) == scores(world.network, blind)


def test_peers_without_a_claim_leave_nothing() -> None:
    """In two runs that differ only in the claim, all other parts of the views are equal, and nothing is measured."""
    claimed, unclaimed = timed_world(), timed_world(hardware="")
    for each in (claimed, unclaimed):
        each.run_epochs(5)
    rows = {}
    for each in (claimed, unclaimed):
        for score in scores(each.network, final(each)):
            rows.setdefault(each.by_key[score.peer].number, []).append(dataclasses.replace(score, speed=None))
    assert all(one == two for one, two in rows.values())
    members = final(unclaimed).members.values()
    assert not any(contact.windows for member in members for contact in member.contacts.values())
    assert all(score.speed is None for score in scores(unclaimed.network, final(unclaimed)))
    assert any(contact.windows for member in final(claimed).members.values() for contact in member.contacts.values())


def test_nobody_else_is_called_too_slow_at_any_cut(world: World) -> None:
    """This holds from the first cut on. The slow peer is always called too slow once it is known."""
    fold = world.peers[0].machine.fold
    seen: dict[int, list[Fit]] = {}
    for cut_id in final(world).path[1:]:
        state = fold.state(cut_id)
        assert state is not None
        for score in scores(world.network, state):
            if score.speed is not None:
                seen.setdefault(world.by_key[score.peer].number, []).append(score.speed.fit)
    assert all(Fit.INCONSISTENT not in fits for name, fits in seen.items() if name != SLOW)
    assert set(seen[SLOW]) == {Fit.TOO_FEW, Fit.INCONSISTENT}


def test_the_view_holds_the_speed(world: World) -> None:
    """The view's bytes have the speed, and its root depends on it."""
    state = final(world)
    rows: list[Any] = [decode(row, size_max=4096) for row in score_rows(world.network, state)]
    by_name = {world.by_key[row[0]].number: row[16] for row in rows}
    claim, fit, challengers, times = by_name[SLOW]
    assert (claim, fit) == ("testbox", "inconsistent")
    assert challengers >= 3
    assert len(times) == 3
    peer = world.peers[SLOW].machine.key
    other = dataclasses.replace(state, members={**state.members})
    other.members[peer] = dataclasses.replace(state.members[peer], hardware="another box")
    assert view_root(world.network, other) != view_root(world.network, state)


def test_joining_with_another_claim_forgets_the_speed() -> None:
    """Measurements of other hardware do not count for the new claim."""
    world = timed_world()
    world.run_epochs(6)
    leaver = world.peers[1]
    assert any(contact.windows for contact in final(world).members[leaver.machine.key].contacts.values())
    for kind, payload in ((Kind.LEAVE, encode([])), (Kind.JOIN, _join(leaver, "bigger box"))):
        for effect in _written(leaver, kind, payload, world.now_ms):
            leaver.carry_out(effect)
    key = leaver.machine.key
    assert run_until(world, lambda: final(world).members[key].hardware == "bigger box", epochs_max=4)
    member = final(world).members[key]
    assert member.active
    before = [c.asked for c in member.contacts.values()]
    assert sum(before) > 0
    assert all(w.count <= 6 for c in member.contacts.values() for w in c.windows)


def _join(peer: Peer, hardware: str) -> bytes:
    context = peer.machine.context
    return Join(context.class_index, context.vrf_key, hardware).encode()


def _written(peer: Peer, kind: Kind, payload: bytes, now_ms: int) -> list[Effect]:
    return list(peer.machine.context.write(kind, payload, now_ms))


@pytest.mark.parametrize("claim", ["Testbox", " box", "x" * 65, "b\u00fcx", 5, None, b"box"])
def test_a_join_with_a_malformed_claim_is_refused(claim: object) -> None:
    key = vrf.public_key(vrf.derive_seed(seeds(1)[0]))
    with pytest.raises(DecodeError, match="hardware"):
        decode_join(encode([0, key, claim, None, None]))
    assert decode_join(encode([0, key, "box", None, None])).hardware == "box"
