"""Speed in views: audits' measurements are in the view and have no effect on anything else."""

import dataclasses
import random
from typing import Any

import pytest

from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import Compute, MeasureJob, Respond, ResponseArrived, Send
from p2pverify.core.inference.speed import Fit
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.membership import Join, decode_join
from p2pverify.core.state.state import State
from p2pverify.core.state.view import score_rows, scores, view_root
from tests.support.costs import Costs
from tests.support.world import MANIFEST, Peer, World, seeds

PEERS = 6
SLOW, BUSY, LIAR = 3, 4, 5
JOB_MS = 300


class TimedWorld(World):
    """All peers claim one hardware. One machine is slower, one is honest but has other jobs, one lies about some
    answers."""

    def __init__(self, *, hardware: str = "testbox", seed: int = 1, **changes: int) -> None:
        self.hardware = hardware
        self._sent: dict[tuple[int, int], int] = {}
        costs = Costs(derive=20, answer_after_derive=40, answer=40, overhead_permille=0)
        rules = {"slots_milli": 6000, "panel_size": 3, **changes}
        super().__init__(PEERS, cores=PEERS, costs=costs, latency_ms=(1, 3), seed=seed, **rules)  # type: ignore[arg-type]

    def _machine(self, seed: bytes, name: int) -> Machine:
        return Machine(self.network, seed, self.class_of(name), MANIFEST, 4096, hardware=self.hardware)

    def _send(self, peer: Peer, effect: Send) -> None:
        self._sent[peer.name, effect.ask] = self.now
        super()._send(peer, effect)

    def _carry_out(self, peer: Peer, effect: object) -> None:
        if isinstance(effect, Respond):
            asker, ask = self._tickets.pop((peer.name, effect.ticket))
            elapsed = max(1, self.now - self._sent.pop((asker, ask)))
            self.post(self._latency(), asker, ResponseArrived(ask, effect.data, elapsed))
        else:
            super()._carry_out(peer, effect)

    def _cost(self, peer: Peer, job: Compute | MeasureJob) -> int:
        cost = super()._cost(peer, job)
        if peer.name == SLOW:
            return 3 * cost
        return cost + JOB_MS if peer.name == BUSY and self.dice.random() < 0.3 else cost

    def latest(self) -> State:
        return self.peers[0].machine.fold.latest


@pytest.fixture(scope="module")
def world() -> TimedWorld:
    world = TimedWorld()
    world.peers[LIAR].lie = lambda key, _dice: random.Random(key).random() < 0.5
    world.run_epochs(16)
    return world


def test_the_slow_one_is_told_apart_and_the_busy_one_is_not(world: TimedWorld) -> None:
    found = {world.by_key[score.peer].name: score.speed for score in scores(world.network, world.latest())}
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


def test_speed_has_no_part_in_the_score(world: TimedWorld) -> None:
    """With any known speed or none, standing, weight, the test and admission to weight are the same."""
    state = world.latest()
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
    claimed, unclaimed = TimedWorld(), TimedWorld(hardware="")
    for each in (claimed, unclaimed):
        each.run_epochs(5)
    rows = {}
    for each in (claimed, unclaimed):
        for score in scores(each.network, each.latest()):
            rows.setdefault(each.by_key[score.peer].name, []).append(dataclasses.replace(score, speed=None))
    assert all(one == two for one, two in rows.values())
    members = unclaimed.latest().members.values()
    assert not any(contact.windows for member in members for contact in member.contacts.values())
    assert all(score.speed is None for score in scores(unclaimed.network, unclaimed.latest()))
    assert any(contact.windows for member in claimed.latest().members.values() for contact in member.contacts.values())


def test_nobody_else_is_called_too_slow_at_any_cut(world: TimedWorld) -> None:
    """This holds from the first cut on. The slow peer is always called too slow once it is known."""
    fold = world.peers[0].machine.fold
    seen: dict[int, list[Fit]] = {}
    for cut_id in world.latest().path[1:]:
        state = fold.state(cut_id)
        assert state is not None
        for score in scores(world.network, state):
            if score.speed is not None:
                seen.setdefault(world.by_key[score.peer].name, []).append(score.speed.fit)
    assert all(Fit.INCONSISTENT not in fits for name, fits in seen.items() if name != SLOW)
    assert set(seen[SLOW]) == {Fit.TOO_FEW, Fit.INCONSISTENT}


def test_the_view_holds_the_speed(world: TimedWorld) -> None:
    """The view's bytes have the speed, and its root depends on it."""
    state = world.latest()
    rows: list[Any] = [decode(row, size_max=4096) for row in score_rows(world.network, state)]
    by_name = {world.by_key[row[0]].name: row[-1] for row in rows}
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
    world = TimedWorld()
    world.run_epochs(6)
    leaver = world.peers[1]
    assert any(contact.windows for contact in world.latest().members[leaver.machine.key].contacts.values())
    for kind, payload in ((Kind.LEAVE, encode([])), (Kind.JOIN, _join(leaver, "bigger box"))):
        for effect in _written(leaver, kind, payload, world.now):
            world._carry_out(leaver, effect)
    key = leaver.machine.key
    assert world.run_until(lambda: world.latest().members[key].hardware == "bigger box", epochs_max=4)
    member = world.latest().members[key]
    assert member.active
    before = [c.asked for c in member.contacts.values()]
    assert sum(before) > 0
    assert all(w.count <= 6 for c in member.contacts.values() for w in c.windows)


def _join(peer: Peer, hardware: str) -> bytes:
    context = peer.machine.context
    return Join(context.class_index, context.vrf_key, hardware).encode()


def _written(peer: Peer, kind: Kind, payload: bytes, now_ms: int) -> list[object]:
    return list(peer.machine.context.write(kind, payload, now_ms))


@pytest.mark.parametrize("claim", ["Testbox", " box", "x" * 65, "b\u00fcx", 5, None, b"box"])
def test_a_join_with_a_malformed_claim_is_refused(claim: object) -> None:
    key = vrf.public_key(vrf.derive_seed(seeds(1)[0]))
    with pytest.raises(DecodeError, match="hardware"):
        decode_join(encode([0, key, claim]))
    assert decode_join(encode([0, key, "box"])).hardware == "box"
