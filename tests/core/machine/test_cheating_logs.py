"""Records that are backdated, signed twice or not signed. Each test runs a small network."""

from dataclasses import replace

import pytest

from p2pverify.core.events import Effects, Publish, RecordsArrived
from p2pverify.core.records.envelope import Kind, make_record
from p2pverify.core.records.payloads.cut import Cut
from p2pverify.core.roles import slot_plan
from p2pverify.core.roles.challenger import Challenger
from p2pverify.core.roles.slot_plan import Anchor, EpochPlan, SlotPlan
from p2pverify.core.state.past.notes import past_rows
from p2pverify.testnet.world.world import NEVER_MS
from tests.support.cheating import CHEAT, quiet_world, reasons
from tests.support.worlds import convicted, final


def test_a_join_dated_back_makes_no_earlier_member() -> None:
    """Membership begins with the certified cut that holds the join, whatever the epoch in its header is."""
    world = quiet_world()
    world.peers[CHEAT].speaks_from_ms = NEVER_MS
    world.run_epochs(6)
    cheat = world.peers[CHEAT].machine.context
    joined = make_record(
        cheat.seed,
        cheat.key,
        world.network.id,
        epoch=0,
        seq=0,
        prev=bytes(32),
        kind=Kind.JOIN,
        payload=_join(cheat.vrf_key),
    )
    world.peers[CHEAT].feed(RecordsArrived((joined.data,), cheat.key))
    world.peers[CHEAT].carry_out(Publish((joined.data,)))
    world.run_epochs(2)
    member = final(world).members[cheat.key]
    assert member.active
    assert member.joined_epoch >= 5  # the epoch of the others' cut


def _join(vrf_key: bytes) -> bytes:
    from p2pverify.core.records.payloads.membership import Join

    return Join(0, vrf_key).encode()


def test_a_duty_on_an_anchor_before_its_join_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key counts only from its join on, so it cannot be chosen by beacons that it has already seen."""
    world = quiet_world(late={CHEAT: 4})
    world.run_epochs(4)
    old = final(world)
    cheat = world.peers[CHEAT].machine.context

    def anchored(context: object, epoch: int) -> Anchor | None:
        return Anchor(old.id, old.as_past()) if context is cheat and epoch - old.epoch <= 5 else find(context, epoch)  # type: ignore[arg-type]

    find = slot_plan.find_anchor
    monkeypatch.setattr("p2pverify.core.roles.challenger.find_anchor", anchored)

    def planned(context: object, epoch: int, anchor: Anchor) -> EpochPlan | None:
        plan = honest(context, epoch, anchor)  # type: ignore[arg-type]
        if plan is None and context is cheat:
            then = final(world).members.get(cheat.key)
            if then is not None and then.active:
                members = past_rows({**old.members, cheat.key: then}, {})
                return honest(context, epoch, Anchor(anchor.id, replace(anchor.cut, members=members)))
        return plan

    honest = slot_plan.make_plan
    monkeypatch.setattr("p2pverify.core.roles.challenger.make_plan", planned)
    world.run_epochs(7)
    assert reasons(world)["duty: key was not a member's at the anchor"] > 0


def test_two_audits_for_one_slot_convict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second audit of one slot with other content convicts without a vote."""
    world = quiet_world()
    cheat = world.peers[CHEAT].machine.context
    honest = Challenger._publish

    def twice(self: Challenger, plan: EpochPlan, slot: SlotPlan, *rest: object) -> Effects[None]:
        yield from honest(self, plan, slot, *rest)  # type: ignore[arg-type]
        audit = self._audited.get((plan.epoch, slot.slot.index))
        if self._context is cheat and audit is not None and not audit.differ:
            yield from cheat.write(Kind.AUDIT, replace(audit, differ=True).encode(), world.now_ms)

    monkeypatch.setattr(Challenger, "_publish", twice)
    world.run_epochs(6)
    assert convicted(world) == {CHEAT}
    assert final(world).members[cheat.key].conviction == "two audits for one slot"


def test_two_proposals_for_one_epoch_convict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposer with two different cuts for one epoch and base convicts itself."""
    world = quiet_world()
    world.run_epochs(3)
    cheat = world.peers[CHEAT].machine.context
    latest = cheat.fold.latest
    epoch = cheat.params.epoch_at(world.now_ms)
    for root in (b"a", b"b"):
        moved = tuple(cheat.ledger.moved(latest.heads))
        cut = Cut(epoch, latest.id, cheat.vrf_key, bytes(80), moved, root * 32, bytes(32), bytes(32))
        for effect in cheat.write(Kind.CUT, cut.encode(), world.now_ms):
            world.peers[CHEAT].carry_out(effect)
    world.run_epochs(3)
    assert convicted(world) == {CHEAT}


def test_a_forked_log_costs_the_weight_but_does_not_convict() -> None:
    """A conflict record proves two records with one number. The author is suspect and without weight, but not
    convicted."""
    world = quiet_world()
    world.run_epochs(3)
    cheat = world.peers[CHEAT]
    head = cheat.machine.context.ledger.head(cheat.machine.key)
    assert head is not None
    forked = make_record(
        world.identities[CHEAT].seed,
        cheat.machine.key,
        world.network.id,
        epoch=1,
        seq=0,
        prev=bytes(32),
        kind=Kind.LEAVE,
        payload=b"\x80",
    )
    cheat.carry_out(Publish((forked.data,)))
    world.run_epochs(4)
    member = final(world).members[cheat.machine.key]
    assert member.fork_until > 0
    assert not member.is_convicted
    assert member.weight == 0


def test_a_silent_peer_is_unavailable_but_never_convicted() -> None:
    """A missing answer counts against availability, not against honesty."""
    world = quiet_world(slots_milli=1500, kinds={CHEAT: "silent"})
    world.run_epochs(10)
    member = final(world).members[world.peers[CHEAT].machine.key]
    assert member.dissents == 0
    assert sum(c.answered for c in member.contacts.values()) == 0
