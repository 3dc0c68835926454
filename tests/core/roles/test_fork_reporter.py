"""Proofs of forks: one or two members with weight publish them, and others do if these do not."""

from itertools import pairwise

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record, make_record
from p2pverify.core.roles.fork_reporter import PATIENCE_EPOCHS
from tests.core.replica.test_forked_logs import Room

MEMBERS = 7


def _fork(room: Room, seed: bytes, length: int = 1) -> list[Record]:
    """Records beside the last ones of a log, from its second record on."""
    ledger = room.machines[0].context.ledger
    key = sign.public_key(seed)
    head = ledger.head(key)
    assert head is not None
    prev, found = ledger.ancestor(head, 0), []
    epoch = room.network.params.epoch_at(room.now)
    for number in range(length):
        made = make_record(
            seed, key, room.network.id, epoch=epoch, seq=1 + number, prev=prev, kind=Kind.LEAVE, payload=encode([])
        )
        prev = made.id
        found.append(made)
    return found


def _proofs(machines: list[Machine]) -> list[Record]:
    found = {r.id: r for machine in machines for r in machine.context.ledger.records() if r.kind == Kind.CONFLICT}
    return list(found.values())


def _begin(salt: str) -> tuple[Room, list[Machine]]:
    """A network whose last member has forked its log, and whose other members have just seen it."""
    room = Room(MEMBERS, salt)
    room.talk([room.machines], 2)
    honest = room.machines[:-1]
    twins = _fork(room, room.identities[-1], 4)
    for machine in honest:
        machine.handle(RecordsArrived(tuple(record.data for record in twins), bytes(32)), room.now)
    return room, honest


def test_one_or_two_members_prove_a_fork_that_all_have_seen() -> None:
    """With four records beside the log and six members that see them, there are not twenty-four proofs."""
    room, honest = _begin("turns")
    room.talk([honest], 6)
    assert 1 <= len(_proofs(honest)) <= 2
    assert all(machine.fold.latest.members[room.machines[-1].key].forks == {1} for machine in honest)


def test_members_that_hear_of_no_proof_take_their_turns_one_after_the_other() -> None:
    """Without communication, each member reports at its own time, and all within an epoch."""
    room, honest = _begin("alone")
    params = room.network.params
    wrote: dict[bytes, int] = {}
    begin = room.now
    while room.now < begin + params.epoch_ms:
        for machine in honest:
            machine.handle(Tick(), room.now)
            if _proofs([machine]):
                wrote.setdefault(machine.key, room.now)
        room.now += params.epoch_ms // 40
    assert wrote.keys() == {machine.key for machine in honest}
    times = sorted(wrote.values())
    assert times[0] == begin
    assert all(later - earlier >= params.epoch_ms // 10 for earlier, later in pairwise(times))


def test_a_proof_that_no_cut_takes_in_keeps_nobody_silent_for_long() -> None:
    """The first reporter's proof reaches one member, and cuts stop. That member reports too after some epochs."""
    room, honest = _begin("useless")
    first, heard = _in_turn(room, honest)[:2]
    proof = _proofs([first])
    told = [r.data for r in first.context.ledger.chain(first.key)]
    heard.handle(RecordsArrived(tuple(told), bytes(32)), room.now)
    assert {r.id for r in _proofs([heard])} == {r.id for r in proof}
    params, begin = room.network.params, room.now
    while not any(r.author == heard.key for r in _proofs([heard])):
        room.now += params.epoch_ms // 10
        heard.handle(Tick(), room.now)
        assert room.now <= begin + (PATIENCE_EPOCHS + 2) * params.epoch_ms
    assert room.now > begin + PATIENCE_EPOCHS * params.epoch_ms


def _in_turn(room: Room, honest: list[Machine]) -> list[Machine]:
    """The members, beginning with the one that has reported at once."""
    for machine in honest:
        machine.handle(Tick(), room.now)
    return sorted(honest, key=lambda machine: not _proofs([machine]))
