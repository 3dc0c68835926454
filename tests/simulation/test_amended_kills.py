"""A peer that is killed around the cut that changes the rules, at any of its effects, signs nothing in two ways."""

from collections.abc import Callable
from typing import Any

import pytest

from p2pverify.core.events import Event, Persist
from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.amending import param
from tests.support.amending_world import AmendedWorld
from tests.support.worlds import final

VICTIM = 3


class KilledWorld(AmendedWorld):
    """The victim dies when it writes a record of a kind to disk: before the write, or right after it."""

    kind: Kind | None = None
    keeps = 0
    is_dead = False

    def _around(self, actor: Actor, event: Event, now_ms: int, handle: Callable[[Event, int], list[Any]]) -> list[Any]:
        if actor.key == self.keys[VICTIM] and self.is_dead:
            return []
        effects = super()._around(actor, event, now_ms, handle)
        if actor.key != self.keys[VICTIM] or self.kind is None:
            return effects
        for at, effect in enumerate(effects):
            if isinstance(effect, Persist) and any(
                record.author == actor.key and record.kind == self.kind for record in effect.records
            ):
                self.is_dead = True
                return effects[: at + self.keeps]
        return effects

    def kill(self, kind: Kind, keeps: int) -> None:
        """Wait for the death, and start the victim again."""
        self.kind, self.keeps = kind, keeps
        for _ in range(60):
            self.world.run_epochs(0.1)
            if self.is_dead:
                break
        assert self.is_dead
        self.kind = None
        self.world.stop(self.peers[VICTIM])
        self.is_dead = False
        self.world.start(self.peers[VICTIM])


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("kind", [Kind.APPROVAL, Kind.CUT_SIGNATURE, Kind.DUTY])
def test_a_peer_killed_at_an_effect_signs_nothing_twice(kind: Kind, keeps: int) -> None:
    found = KilledWorld(5)
    found.world.run_epochs(4)
    amended = found.propose(0, param("slots_milli", 2_000))
    if kind is Kind.APPROVAL:
        found.words_of(amended, 1, (VICTIM,))  # type: ignore[arg-type]
        found.kill(kind, keeps)
    starts = found.approve(amended, (1, 2, 4))
    if kind is not Kind.APPROVAL:
        found.run_to(starts - 1)
        found.kill(kind, keeps)
    found.run_to(starts + 5)
    state = final(found.world)
    assert state.rules
    assert not state.convicted
    assert state.totals.get("forks", 0) == 0
    victim = found.peers[VICTIM].machine
    assert victim.fold.latest.rules
    own = victim.context.ledger.last(victim.key)
    assert own is not None
    assert own.epoch >= starts + 3
    assert found.world.invariants.faults == []
