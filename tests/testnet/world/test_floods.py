"""A flood by keys that are not members, in the simulated world: it costs there what it costs a real node."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from p2pverify.core import admission
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.events import Effect, Event
from p2pverify.core.limits import Rate
from p2pverify.core.records.envelope import NO_PREV, Kind, make_record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.core.replica.strangers import non_members
from p2pverify.testnet.world import World, WorldPlan
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, Connect, HonestActor, PublishTo, WorldEffect
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.plan import identities

RULES = {"epoch_ms": 30_000, "slots_milli": 500, "panel_size": 2, "prompt_tokens": 8, "answer_tokens": 8}
EPOCHS = 7
FIRST, LAST = 2, 4  # epochs of the flood
KEYS = 120  # in each of them
RECORDS_EACH = 18  # more than a stranger has for itself
STRANGERS_MAX = 40
SHARED_MAX = 50
#: Until a final cut holds it, what a proposal of a member names is let in past the bounds: so many authors at a time.
HELD_MAX = STRANGERS_MAX * non_members.STRANGER_RECORDS_MAX + SHARED_MAX + NEW_AUTHORS_MAX * RECORDS_EACH


@pytest.fixture(autouse=True)
def _tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test reaches: the same code, smaller tables."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", STRANGERS_MAX)
    monkeypatch.setattr(non_members, "SHARED_RECORDS_MAX", SHARED_MAX)
    monkeypatch.setattr(admission, "POOL_OF_STRANGERS", Rate(per_second=100, burst=1500))


class Flooder(HonestActor):
    """Takes no part. Once an epoch it shows every peer the logs of very many new keys."""

    def __init__(self, args: ActorArgs) -> None:
        super().__init__(args)
        self._epoch = FIRST - 1

    def handle(self, event: Event, now_ms: int) -> list[Effect | WorldEffect]:
        found = super().handle(event, now_ms)
        epoch = self.args.network.params.epoch_at(now_ms)
        if self._epoch < epoch <= LAST:
            self._epoch = epoch
            found += [Connect(peer) for peer in self.args.everyone]
            found += [PublishTo(self._log(epoch, number), self.args.everyone) for number in range(KEYS)]
        return found

    def _log(self, epoch: int, number: int) -> tuple[bytes, ...]:
        seed = sha256(b"flood %d %d" % (epoch, number))
        key, prev, found = sign.public_key(seed), NO_PREV, []
        for seq in range(RECORDS_EACH):
            payload = b"\x80" if seq else Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
            kind = Kind.LEAVE if seq else Kind.JOIN
            record = make_record(
                seed, key, self.args.network.id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload
            )
            prev = record.id
            found.append(record.data)
        return tuple(found)


def _world() -> World:
    plan = WorldPlan(peers=9, members=8, founders=7, epochs=EPOCHS, rules=RULES, seed=5)
    people = identities(plan)
    (bystander,) = [identity for identity in people if not identity.member]
    everyone = tuple(sorted(identity.key for identity in people if identity is not bystander))

    def make(_kind: str, args: ActorArgs) -> Actor:
        return Flooder(replace(args, everyone=everyone)) if args.seed == bystander.seed else HonestActor(args)

    world = World(plan, people, make=make)
    world.peers[bystander.number].kind = "flooder"
    return world


def _held_of_strangers(peer: Peer) -> int:
    machine = peer.machine
    ledger, members = machine.context.ledger, machine.fold.latest.members
    return sum(ledger.held(head[0]) for head in ledger.heads() if head[0] not in members)


def _count(peers: Sequence[Peer], what: str) -> int:
    return sum(peer.machine.admission.statistics().get(what, 0) for peer in peers)


def test_a_flood_by_strangers_is_bounded_and_stops_no_cut() -> None:
    """What is held of them stays within its bounds, all that members say arrives, and each epoch has a final cut.

    Every peer has another part of the flood in its table, so each lacks what the proposals of the others name.
    """
    world = _world()
    honest = world.honest
    said: list[bytes] = []
    held: list[int] = []
    for epoch in range(EPOCHS):
        world.run(world.network.params.epoch_start_ms(epoch + 1) - 1)
        world.invariants.after_epoch(epoch)
        held.append(max(map(_held_of_strangers, honest)))
        # A cut of the epoch before, or of the one before that while the tables are filled.
        assert all(peer.machine.fold.latest.epoch >= epoch - 2 for peer in honest)
        ledgers = [peer.machine.context.ledger for peer in honest]
        assert all(record_id in ledger for ledger in ledgers for record_id in said)
        said = [head[2] for peer, ledger in zip(honest, ledgers, strict=True) if (head := ledger.head(peer.key))]
    assert world.invariants.faults == []
    assert STRANGERS_MAX * non_members.STRANGER_RECORDS_MAX < max(held) <= HELD_MAX
    assert min(peer.machine.fold.latest.epoch for peer in honest) >= EPOCHS - 2
    assert _count(honest, "batches beyond a neighbour's share") > 0
    assert _count(honest, "records of strangers beyond their bound") > 0
    flood = (LAST + 1 - FIRST) * KEYS * RECORDS_EACH
    assert all(len(peer.machine.context.ledger) < flood // 3 for peer in honest)
    assert not any(note.startswith(("rejected", "disconnected")) for peer in honest for note in peer.notes)
